// out = in, or zero, as bytes: of one type and as many elements, on the backend's device and in the order of its work.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void copy(const Backend& on, View out, ConstView in);
void clear(const Backend& on, View out);
// x (A, B, ...): x[a, to] = x[a, from] for every a, as one piece of work: a page of all layers.
void copy_block(const Backend& on, View x, std::int64_t to, std::int64_t from);

namespace cuda {
void copy(const Backend& on, View out, ConstView in);
void clear(const Backend& on, View out);
void copy_block(const Backend& on, View x, std::int64_t to, std::int64_t from);
}  // namespace cuda

}  // namespace deskhand
