// GGUF versions 2 and 3, the format of llama.cpp: typed metadata (tokenizer and chat template among them), then tensors, quantised or not.
// Read where it lies in the mapped file: texts and tensors are views that live as long as the file does.
// Specification: github.com/ggml-org/ggml, docs/gguf.md. Left out: big-endian files, arrays of arrays, files split in parts.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "deskhand/base/mapped_file.h"
#include "deskhand/model/stored_tensors.h"

namespace deskhand {

class Gguf {
 public:
  using Integers = std::vector<std::int64_t>;  // arrays of any integer type and of bool
  using Numbers = std::vector<double>;         // arrays of f32 and f64
  using Texts = std::vector<std::string_view>;
  using Value = std::variant<std::int64_t, double, bool, std::string_view, Integers, Numbers, Texts>;

  // Throws Error(kNotFound) or Error(kBadInput): wrong magic or version, a count or text longer than the file, an unknown tensor type (with
  // the tensor's name), a tensor beyond the end, overlapping another or out of alignment, a key or tensor that stands twice.
  static Gguf open(const std::filesystem::path& path);

  const StoredTensors& tensors() const { return tensors_; }
  const MappedFile& file() const { return file_; }
  std::span<const std::pair<std::string_view, Value>> metadata() const { return metadata_; }  // sorted by key

  const Value* find(std::string_view key) const;  // null if the file does not have it
  // The value as it lies in the file, its type first: what another file can take over unread. Empty if the file does not have it.
  std::string_view raw(std::string_view key) const;
  // The value of `key`, or nothing if the file does not have it. Throws Error(kBadInput) naming the key if it is of another type; an
  // integer is also a number.
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> flag(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;
  std::span<const std::string_view> texts(std::string_view key) const;  // empty if the file does not have it
  std::span<const std::int64_t> integers(std::string_view key) const;
  std::span<const double> numbers(std::string_view key) const;

 private:
  explicit Gguf(const std::filesystem::path& path) : file_(path) {}
  template <class T>
  const T* get(std::string_view key, std::string_view wanted) const;

  MappedFile file_;
  std::vector<std::pair<std::string_view, Value>> metadata_;
  StoredTensors tensors_;
};

}  // namespace deskhand
