// out = a + b, element by element; all of one shape and one type of activations. out may be a or b.
#pragma once
#include "deskhand/ops/backend.h"

namespace deskhand {

void add(const Backend& on, View out, ConstView a, ConstView b);

namespace reference {
void add(View out, ConstView a, ConstView b);
}
namespace cpu {
void add(const Backend& on, View out, ConstView a, ConstView b);
}
namespace cuda {
void add(const Backend& on, View out, ConstView a, ConstView b);
}

}  // namespace deskhand
