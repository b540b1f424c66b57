#include "tests/fuzz/fuzz_table.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  deskhand::read_every_row({reinterpret_cast<const char*>(data), size});
  return 0;
}
