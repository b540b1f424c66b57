// What a weight file holds: tensors by name, their bytes where they lie in the mapped file. Both formats answer with this, so that nothing
// above asks which one it was.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/tensor/view.h"

namespace deskhand {

struct StoredTensor {
  std::string name;
  std::string stored_type;          // as the file spells it: "BF16", "I64", "Q4_K"
  std::optional<DType> type;        // none: readable, but nothing here computes with it
  Shape shape;                      // row-major, also where the file counts from the other end (GGUF)
  std::span<const std::byte> data;  // borrowed from the mapped file
};

class StoredTensors {
 public:
  StoredTensors() = default;
  // Sorts by name. Throws Error(kBadInput) naming `where` if a name stands twice.
  StoredTensors(std::vector<StoredTensor> tensors, std::string_view where);

  const StoredTensor* find(std::string_view name) const;  // null if there is none
  std::span<const StoredTensor> all() const { return tensors_; }

 private:
  std::vector<StoredTensor> tensors_;
};

// Bytes of a tensor of `shape` whose rows are blocks of `block_bytes` for `block_elements` elements; none on overflow or a broken block.
std::optional<std::size_t> stored_bytes(std::span<const std::uint64_t> extents, std::int64_t block_elements, std::int64_t block_bytes);

// Up to four extents, each below 2^48.
Shape shape_of(std::span<const std::uint64_t> extents);

}  // namespace deskhand
