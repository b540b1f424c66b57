// The part of a norm's backward that its forms share. Sources of this folder alone.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand::cuda {

// d_weight (C) += the rows' sum of d_out x rstd, in one order; nothing where it is empty.
void add_norm_weight_gradient(const Backend& on, View d_weight, ConstView d_out, ConstView x, ConstView rstd);

}  // namespace deskhand::cuda
