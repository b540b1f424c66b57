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
  operator View() { return view(); }               // NOLINT: implicit, a Tensor is passed where a View is wanted
  operator ConstView() const { return view(); }    // NOLINT
  std::span<float> floats() { return view().floats(); }
  std::span<const float> floats() const { return view().floats(); }
  const Shape& shape() const noexcept { return shape_; }
  DType type() const noexcept { return type_; }
  bool empty() const noexcept { return data_ == nullptr; }
  Tensor copy() const;

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

}  // namespace deskhand
