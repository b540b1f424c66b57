#include "deskhand/model/stored_tensors.h"

#include <algorithm>

namespace deskhand {

StoredTensors::StoredTensors(std::vector<StoredTensor> tensors, std::string_view where) : tensors_(std::move(tensors)) {
  std::sort(tensors_.begin(), tensors_.end(), [](const StoredTensor& a, const StoredTensor& b) { return a.name < b.name; });
  const auto twin =
      std::adjacent_find(tensors_.begin(), tensors_.end(), [](const StoredTensor& a, const StoredTensor& b) { return a.name == b.name; });
  if (twin != tensors_.end())
    throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" stands there twice; the file is damaged, fetch it again", where, twin->name);
}

const StoredTensor* StoredTensors::find(std::string_view name) const {
  const auto at =
      std::lower_bound(tensors_.begin(), tensors_.end(), name, [](const StoredTensor& a, std::string_view b) { return a.name < b; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

std::optional<std::size_t> stored_bytes(std::span<const std::uint64_t> extents, std::int64_t block_elements, std::int64_t block_bytes) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 48;  // 256 TiB: no file is larger, and products of two such do not overflow unseen
  const auto elements_of_block = static_cast<std::uint64_t>(block_elements);
  if (elements_of_block > 1 && (extents.empty() || extents.back() % elements_of_block != 0)) return std::nullopt;
  std::uint64_t product = 1;
  for (const std::uint64_t extent : extents)
    if (extent >= kMost || __builtin_mul_overflow(product, extent, &product) || product >= kMost) return std::nullopt;
  product /= elements_of_block;
  if (__builtin_mul_overflow(product, static_cast<std::uint64_t>(block_bytes), &product) || product >= kMost) return std::nullopt;
  return static_cast<std::size_t>(product);
}

Shape shape_of(std::span<const std::uint64_t> extents) {
  const auto at = [&](std::size_t axis) { return static_cast<std::int64_t>(extents[axis]); };
  switch (extents.size()) {
    case 0:
      return {};
    case 1:
      return {at(0)};
    case 2:
      return {at(0), at(1)};
    case 3:
      return {at(0), at(1), at(2)};
    default:
      return {at(0), at(1), at(2), at(3)};
  }
}

}  // namespace deskhand
