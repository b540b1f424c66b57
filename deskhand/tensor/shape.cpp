#include "deskhand/tensor/shape.h"

#include "deskhand/base/error.h"

namespace deskhand {

Shape::Shape(std::initializer_list<std::int64_t> extents) {
  DESKHAND_ASSERT(extents.size() <= extents_.size(), "a shape has at most four extents");
  for (const auto extent : extents) {
    DESKHAND_ASSERT(extent >= 0, "an extent is not negative");
    extents_[static_cast<std::size_t>(rank_++)] = extent;
  }
}

std::int64_t Shape::operator[](int axis) const {
  if (axis < 0) axis += rank_;
  DESKHAND_ASSERT(axis >= 0 && axis < rank_, "an axis that the shape has");
  return extents_[static_cast<std::size_t>(axis)];
}

std::int64_t Shape::elements() const noexcept {
  std::int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) product *= extents_[static_cast<std::size_t>(axis)];
  return product;
}

std::int64_t Shape::rows() const noexcept {
  std::int64_t product = 1;
  for (int axis = 0; axis + 1 < rank_; ++axis) product *= extents_[static_cast<std::size_t>(axis)];
  return product;
}

std::string Shape::text() const {
  std::string text = "(";
  for (int axis = 0; axis < rank_; ++axis) text += (axis ? ", " : "") + std::to_string(extents_[static_cast<std::size_t>(axis)]);
  return text + ")";
}

}  // namespace deskhand
