// Writes GGUF version 3: metadata in the order of putting, then tensors in the order of adding, each at a multiple of 32 bytes. The file is
// there whole or not at all; a tensor's bytes are asked for part by part when their turn comes, so memory holds one part.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/tensor/view.h"

namespace deskhand {

class GgufWriter {
 public:
  void put_text(std::string_view key, std::string_view value);
  void put_u32(std::string_view key, std::int64_t value);  // 0 .. 2^32 - 1
  void put_f32(std::string_view key, double value);
  void put_flag(std::string_view key, bool value);
  void put_texts(std::string_view key, std::span<const std::string> values);
  void put_i32s(std::string_view key, std::span<const std::int32_t> values);
  void put_f32s(std::string_view key, std::span<const float> values);
  void put_raw(std::string_view key, std::string_view typed_value);  // as Gguf::raw gives it

  // Rows [first, first + count) of a tensor as they shall be stored; the view has to hold until the next call. A vector is one row.
  using Rows = std::function<ConstView(std::int64_t first, std::int64_t count)>;
  struct NewTensor {
    std::string name;
    DType type = DType::kF32;
    Shape shape;                      // a vector, or (rows, row): row-major, as everywhere here
    std::int64_t rows_of_a_part = 0;  // 0: all at once
    Rows rows;
  };
  void add(NewTensor tensor);

  std::int64_t tensor_bytes() const;  // of all that was added
  // `written` is told the bytes of each part; what it throws ends the writing and leaves no file. Throws Error(kCannotWrite).
  void write(const std::filesystem::path& path, const std::function<void(std::int64_t)>& written = {}) const;

 private:
  void key(std::string_view key, std::uint32_t type);

  std::string metadata_;
  std::int64_t entries_ = 0;
  std::vector<NewTensor> tensors_;
};

}  // namespace deskhand
