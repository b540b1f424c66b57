#include "deskhand/ops/add.h"

namespace deskhand::reference {

void add(View out, ConstView a, ConstView b) {
  for (std::int64_t i = 0; i < out.shape().elements(); ++i) out.floats()[i] = a.floats()[i] + b.floats()[i];
}

}  // namespace deskhand::reference
