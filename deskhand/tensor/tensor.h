// A Tensor owns its memory, 64-byte aligned, zeroed, on the device where it was born. Move only: a dear copy has to be asked for by name.
#pragma once
#include <cstddef>
#include <memory>
#include <span>

#include "deskhand/tensor/view.h"

namespace deskhand {

class Tensor {
 public:
  Tensor() = default;
  // Throws Error(kTooLarge) with the size if the memory cannot be had. On the GPU (tensor/cuda/memory.h): 256-byte aligned.
  Tensor(DType type, Shape shape, Device device = Device::kCpu);

  View view() { return {data_.get(), type_, shape_, device_}; }
  ConstView view() const { return {data_.get(), type_, shape_, device_}; }
  operator View() { return view(); }             // NOLINT: implicit, a Tensor is passed where a View is wanted
  operator ConstView() const { return view(); }  // NOLINT
  std::span<float> floats() { return view().floats(); }
  std::span<const float> floats() const { return view().floats(); }
  const Shape& shape() const noexcept { return shape_; }
  DType type() const noexcept { return type_; }
  bool empty() const noexcept { return data_ == nullptr; }
  Tensor copy() const;
  Tensor copy_to(Device device) const;

 private:
  struct Free {
    Device device;
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte[], Free> data_{nullptr, Free{Device::kCpu}};
  Shape shape_;
  DType type_ = DType::kF32;
  Device device_ = Device::kCpu;
};

// Where activations are born, and as what.
struct Placement {
  Tensor make(Shape shape) const { return {type, shape, device}; }
  Tensor make_f32(Shape shape) const { return {DType::kF32, shape, device}; }  // what stays f32 whatever the activations are

  Device device = Device::kCpu;
  DType type = DType::kF32;
};

// The bytes of one view into another of as many, wherever they lie. Waits for all work of the GPU before and after if one lies there.
void copy_bytes(View to, ConstView from);

}  // namespace deskhand
