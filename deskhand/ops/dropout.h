// out = x with each element set to zero with the given probability and the others divided by 1 - probability. The gradient is the same op
// on d_out. Who falls is a function of (seed, step, layer, row, column) alone, by Philox4x32-10 (Salmon et al., 2011, "Parallel random
// numbers: as easy as 1, 2, 3"): backward needs no mask, threads and machines change nothing.
#pragma once
#include <array>

#include "deskhand/ops/backend.h"
#include "deskhand/ops/into.h"

namespace deskhand {

struct Dropout {
  float probability = 0;        // 0 .. below 1; resolved to a 65536th. 0: none
  std::uint64_t seed = 0;       // of the run
  std::uint32_t step = 0;       // of the optimizer
  std::uint32_t layer = 0;      // each place of the model that drops has a number of its own
  std::uint32_t first_row = 0;  // rows of the step that earlier passes had, where gradients are accumulated
};

// x, out (N, I), activations of one type; out may be x.
void dropout(const Backend& on, View out, ConstView x, const Dropout& dropped, Into into = Into::kOverwrite);

namespace reference {
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);
void dropout(View out, ConstView x, const Dropout& dropped, Into into);
}  // namespace reference
namespace cpu {
void dropout(const Backend& on, View out, ConstView x, const Dropout& dropped, Into into);
}
namespace cuda {
void dropout(const Backend& on, View out, ConstView x, const Dropout& dropped, Into into);
}

}  // namespace deskhand
