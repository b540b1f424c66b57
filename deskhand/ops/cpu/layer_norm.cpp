#include "deskhand/ops/layer_norm.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void layer_norm(const Backend& on, View out, ConstView x, ConstView residual, const LayerNormWeights& norm) {
  split(on, out.shape()[0], grain_of_rows(out.shape().elements() / std::max<std::int64_t>(1, out.shape()[0])),
        [&](std::int64_t begin, std::int64_t end, int) {
          reference::layer_norm(out.rows(begin, end - begin), x.rows(begin, end - begin),
                                residual.empty() ? residual : residual.rows(begin, end - begin), norm);
        });
}

}  // namespace deskhand::cpu
