// A View borrows memory that a Tensor, a mapped file or a cache owns: type, shape, address. Contiguous, row-major.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "deskhand/base/error.h"
#include "deskhand/tensor/dtype.h"
#include "deskhand/tensor/shape.h"

namespace deskhand {

enum class Device : std::uint8_t { kCpu, kCuda };

template <class Byte>   // std::byte or const std::byte
class BasicView {
 public:
  template <class T>
  using Like = std::conditional_t<std::is_const_v<Byte>, const T, T>;

  BasicView() = default;
  BasicView(Byte* data, DType type, Shape shape, Device device = Device::kCpu) : data_(data), shape_(shape), type_(type), device_(device) {}
  // A View may be read through; not the other way round.
  template <class Other>   // a template, so that it is never taken for the copy constructor
  BasicView(const BasicView<Other>& other) requires(std::is_const_v<Byte> && !std::is_const_v<Other>)   // NOLINT: implicit, like span
      : data_(other.data()), shape_(other.shape()), type_(other.type()), device_(other.device()) {}
  // Plain floats as a vector or matrix.
  BasicView(std::span<Like<float>> values, Shape shape)
      : data_(reinterpret_cast<Byte*>(values.data())), shape_(shape), type_(DType::kF32) {
    DESKHAND_ASSERT(static_cast<std::int64_t>(values.size()) == shape.elements(), "as many values as the shape says");
  }

  Byte* data() const noexcept { return data_; }
  const Shape& shape() const noexcept { return shape_; }
  DType type() const noexcept { return type_; }
  Device device() const noexcept { return device_; }
  bool empty() const noexcept { return data_ == nullptr; }
  std::int64_t bytes() const { return shape_.rank() == 0 ? 0 : shape_.rows() * row_bytes(type_, shape_.last()); }
  std::span<Byte> raw() const { return {data_, static_cast<std::size_t>(bytes())}; }

  template <class T>
  std::span<Like<T>> as() const {   // T of the element's size: float for f32, uint16_t for f16 and bf16, int32_t for i32
    DESKHAND_ASSERT(!is_quantised(type_) && static_cast<std::int64_t>(sizeof(T)) == block_bytes(type_), "the type that the view holds");
    return {reinterpret_cast<Like<T>*>(data_), static_cast<std::size_t>(shape_.elements())};
  }
  std::span<Like<float>> floats() const {
    DESKHAND_ASSERT(type_ == DType::kF32, "a view of float32");
    return as<float>();
  }

  // Rows [first, first + count) of the first axis.
  BasicView rows(std::int64_t first, std::int64_t count) const {
    DESKHAND_ASSERT(shape_.rank() >= 1 && first >= 0 && count >= 0 && first + count <= shape_[0], "rows that the view has");
    const std::int64_t step = shape_[0] == 0 ? 0 : bytes() / shape_[0];
    Shape shape;
    switch (shape_.rank()) {
      case 1: shape = {count}; return {data_ + first * row_bytes(type_, 1), type_, shape, device_};
      case 2: shape = {count, shape_[1]}; break;
      case 3: shape = {count, shape_[1], shape_[2]}; break;
      default: shape = {count, shape_[1], shape_[2], shape_[3]};
    }
    return {data_ + first * step, type_, shape, device_};
  }
  // The same bytes under another shape of as many elements.
  BasicView reshaped(Shape shape) const {
    DESKHAND_ASSERT(shape.elements() == shape_.elements(), "as many elements");
    return {data_, type_, shape, device_};
  }

 private:
  Byte* data_ = nullptr;
  Shape shape_;
  DType type_ = DType::kF32;
  Device device_ = Device::kCpu;
};

using View = BasicView<std::byte>;
using ConstView = BasicView<const std::byte>;

}  // namespace deskhand
