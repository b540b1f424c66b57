#include "deskhand/model/gguf_writer.h"

#include <cstring>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"

namespace deskhand {
namespace {

enum ValueType : std::uint32_t { kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kText = 8, kArray = 9 };

constexpr std::int64_t kAlignment = 32;

template <class T>
void append(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append<std::uint64_t>(out, text.size());
  out += text;
}

template <class T>
void append_array(std::string& out, ValueType type, std::span<const T> values) {
  append<std::uint32_t>(out, type);
  append<std::uint64_t>(out, values.size());
  for (const T& value : values) append(out, value);
}

std::int64_t aligned(std::int64_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}

// ggml.h, enum ggml_type.
std::uint32_t type_number(DType type) {
  switch (type) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
    case DType::kQ5_0:
      return 6;
    case DType::kQ5_1:
      return 7;
    case DType::kQ8_0:
      return 8;
    case DType::kQ4_K:
      return 12;
    case DType::kQ5_K:
      return 13;
    case DType::kQ6_K:
      return 14;
    case DType::kI8:
      return 24;
    case DType::kI32:
      return 26;
    case DType::kBF16:
      return 30;
    default:
      DESKHAND_ASSERT(false, "a type that files have");
  }
  return 0;
}

std::int64_t rows_of(const GgufWriter::NewTensor& tensor) {
  return tensor.shape.rank() == 1 ? 1 : tensor.shape.rows();
}

std::int64_t bytes_of(const GgufWriter::NewTensor& tensor) {
  return rows_of(tensor) * row_bytes(tensor.type, tensor.shape.last());
}

}  // namespace

void GgufWriter::key(std::string_view key, std::uint32_t type) {
  append_text(metadata_, key);
  append(metadata_, type);
  ++entries_;
}

void GgufWriter::put_text(std::string_view name, std::string_view value) {
  key(name, kText);
  append_text(metadata_, value);
}

void GgufWriter::put_u32(std::string_view name, std::int64_t value) {
  DESKHAND_ASSERT(value >= 0 && value <= UINT32_MAX, "a number of 32 bits");
  key(name, kU32);
  append(metadata_, static_cast<std::uint32_t>(value));
}

void GgufWriter::put_f32(std::string_view name, double value) {
  key(name, kF32);
  append(metadata_, static_cast<float>(value));
}

void GgufWriter::put_flag(std::string_view name, bool value) {
  key(name, kBool);
  append(metadata_, static_cast<std::uint8_t>(value));
}

void GgufWriter::put_texts(std::string_view name, std::span<const std::string> values) {
  key(name, kArray);
  append<std::uint32_t>(metadata_, kText);
  append<std::uint64_t>(metadata_, values.size());
  for (const std::string& value : values) append_text(metadata_, value);
}

void GgufWriter::put_i32s(std::string_view name, std::span<const std::int32_t> values) {
  key(name, kArray);
  append_array(metadata_, kI32, values);
}

void GgufWriter::put_f32s(std::string_view name, std::span<const float> values) {
  key(name, kArray);
  append_array(metadata_, kF32, values);
}

void GgufWriter::put_raw(std::string_view name, std::string_view typed_value) {
  append_text(metadata_, name);
  metadata_ += typed_value;
  ++entries_;
}

void GgufWriter::add(NewTensor tensor) {
  DESKHAND_ASSERT(tensor.shape.rank() >= 1 && tensor.shape.last() % block_elements(tensor.type) == 0, "whole blocks a row");
  tensors_.push_back(std::move(tensor));
}

std::int64_t GgufWriter::tensor_bytes() const {
  std::int64_t sum = 0;
  for (const NewTensor& tensor : tensors_) sum += bytes_of(tensor);
  return sum;
}

void GgufWriter::write(const std::filesystem::path& path, const std::function<void(std::int64_t)>& written) const {
  std::string header = "GGUF";
  append<std::uint32_t>(header, 3);
  append<std::uint64_t>(header, tensors_.size());
  append<std::uint64_t>(header, static_cast<std::uint64_t>(entries_));
  header += metadata_;
  std::int64_t offset = 0;
  for (const NewTensor& tensor : tensors_) {
    append_text(header, tensor.name);
    append<std::uint32_t>(header, static_cast<std::uint32_t>(tensor.shape.rank()));
    for (int axis = tensor.shape.rank(); axis-- > 0;) append<std::uint64_t>(header, static_cast<std::uint64_t>(tensor.shape[axis]));
    append(header, type_number(tensor.type));
    append<std::uint64_t>(header, static_cast<std::uint64_t>(offset));
    offset = aligned(offset + bytes_of(tensor));
  }
  header.resize(static_cast<std::size_t>(aligned(static_cast<std::int64_t>(header.size()))));

  AtomicFile file(path);
  file.write(header);
  for (const NewTensor& tensor : tensors_) {
    const std::int64_t rows = rows_of(tensor), step = tensor.rows_of_a_part > 0 ? tensor.rows_of_a_part : rows;
    for (std::int64_t first = 0; first < rows; first += step) {
      const std::int64_t count = std::min(step, rows - first);
      const auto raw = tensor.rows(first, count).raw();
      DESKHAND_ASSERT(static_cast<std::int64_t>(raw.size()) == count * row_bytes(tensor.type, tensor.shape.last()), "the rows asked for");
      file.write({reinterpret_cast<const char*>(raw.data()), raw.size()});
      if (written) written(static_cast<std::int64_t>(raw.size()));
    }
    const std::int64_t bytes = bytes_of(tensor);
    file.write(std::string(static_cast<std::size_t>(aligned(bytes) - bytes), '\0'));
  }
  file.commit();
}

}  // namespace deskhand
