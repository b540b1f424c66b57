#include "deskhand/tensor/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "deskhand/base/progress.h"
#include "deskhand/tensor/cuda/memory.h"

namespace deskhand {

void Tensor::Free::operator()(std::byte* data) const noexcept {
  if (device == Device::kCuda)
    free_on_gpu(data);
  else
    std::free(data);
}

Tensor::Tensor(DType type, Shape shape, Device device) : shape_(shape), type_(type), device_(device) {
  constexpr std::size_t kAlign = 64;
  DESKHAND_ASSERT(device == Device::kCuda || !is_tiled(type), "tiles are the GPU's alone");
  const std::size_t bytes = static_cast<std::size_t>(View(nullptr, type, shape).bytes());
  if (device == Device::kCuda) {
    data_ = std::unique_ptr<std::byte[], Free>(allocate_on_gpu(bytes, fmt::format("a buffer of {} {}", dtype_name(type), shape.text())),
                                               Free{device});
    return;
  }
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + kAlign - 1) / kAlign * kAlign;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(kAlign, rounded));
  if (!data)
    throw Error(ExitCode::kTooLarge, "out of memory: a buffer of {} {} needs {}", dtype_name(type), shape.text(),
                human_bytes(static_cast<double>(bytes)));
  std::memset(data, 0, rounded);
  data_.reset(data);
}

Tensor Tensor::copy() const {
  return copy_to(device_);
}

Tensor Tensor::copy_to(Device device) const {
  Tensor twin(type_, shape_, device);
  copy_bytes(twin, *this);
  return twin;
}

void copy_bytes(View to, ConstView from) {
  DESKHAND_ASSERT(to.bytes() == from.bytes(), "views of as many bytes");
  const auto bytes = static_cast<std::size_t>(to.bytes());
  if (bytes == 0) return;
  if (to.device() == Device::kCuda || from.device() == Device::kCuda)
    copy_through_gpu(to.data(), from.data(), bytes);
  else
    std::memcpy(to.data(), from.data(), bytes);
}

}  // namespace deskhand
