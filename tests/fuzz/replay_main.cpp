// Runs a fuzz target without libFuzzer: over every file of the folders named, whole, cut and with bytes changed by a fixed generator.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/fuzz_table.h"

int main(int count, char** names) {
  std::size_t files = 0;
  for (int i = 1; i < count; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(names[i])) {
      std::ifstream stream(entry.path(), std::ios::binary);
      const std::string whole((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
      const auto run = [](const std::string& bytes) {
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
      };
      run(whole);
      ++files;
      if (whole.empty()) continue;
      std::mt19937 draw(42);
      for (int cut = 0; cut < 16; ++cut) run(whole.substr(0, draw() % whole.size()));
      for (int change = 0; change < 200; ++change) {
        auto bytes = whole;
        for (unsigned n = 0; n < 1 + draw() % 4; ++n) bytes[draw() % bytes.size()] = static_cast<char>(draw());
        run(bytes);
      }
    }
  }
  return files > 0 ? 0 : 1;
}
