#include "deskhand/train/tensor_copy.h"

#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/ops/dequantize.h"

namespace deskhand {

Tensor as_f32(const Backend& on, ConstView view) {
  Tensor copy(DType::kF32, view.shape());
  if (view.shape().rank() == 1)  // dequantize wants rows
    dequantize(on, copy.view().reshaped({1, view.shape()[0]}), view.reshaped({1, view.shape()[0]}));
  else
    dequantize(on, copy, view);
  return copy;
}

Tensor stored_as(ConstView values, DType type) {
  Tensor copy(type, values.shape());
  const auto in = values.floats();
  if (type == DType::kF32) {
    std::copy(in.begin(), in.end(), copy.floats().begin());
    return copy;
  }
  DESKHAND_ASSERT(type == DType::kF16 || type == DType::kBF16, "an adapter is stored as f32, f16 or bf16");
  const auto out = copy.view().as<std::uint16_t>();
  std::transform(in.begin(), in.end(), out.begin(), type == DType::kF16 ? to_f16 : to_bf16);
  return copy;
}

}  // namespace deskhand
