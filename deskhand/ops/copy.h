// out = in, or zero, as bytes: of one type and as many elements, on the backend's device and in the order of its work.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void copy(const Backend& on, View out, ConstView in);
void clear(const Backend& on, View out);

namespace cuda {
void copy(const Backend& on, View out, ConstView in);
void clear(const Backend& on, View out);
}  // namespace cuda

}  // namespace deskhand
