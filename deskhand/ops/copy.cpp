#include "deskhand/ops/copy.h"

#include <algorithm>
#include <cstring>

namespace deskhand {

void copy(const Backend& on, View out, ConstView in) {
  DESKHAND_ASSERT(out.type() == in.type() && out.bytes() == in.bytes(), "views of one type and as many elements");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::copy(on, out, in);
  if (out.bytes() > 0) std::memcpy(out.data(), in.data(), in.raw().size());
}

void clear(const Backend& on, View out) {
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::clear(on, out);
  if (out.bytes() > 0) std::memset(out.data(), 0, out.raw().size());
}

void copy_block(const Backend& on, View x, std::int64_t to, std::int64_t from) {
  DESKHAND_ASSERT(x.shape().rank() >= 2 && std::min(to, from) >= 0 && std::max(to, from) < x.shape()[1] && to != from,
                  "two blocks of (A, B, ...)");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::copy_block(on, x, to, from);
  const auto bytes = static_cast<std::size_t>(x.bytes() / (x.shape()[0] * x.shape()[1]));
  for (std::int64_t a = 0; a < x.shape()[0]; ++a) {
    std::byte* const plane = x.rows(a, 1).data();
    std::memcpy(plane + static_cast<std::size_t>(to) * bytes, plane + static_cast<std::size_t>(from) * bytes, bytes);
  }
}

}  // namespace deskhand
