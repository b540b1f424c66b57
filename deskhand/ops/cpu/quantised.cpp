#include "deskhand/ops/cpu/quantised.h"

namespace deskhand::cpu {

PanelKind panel_kind(DType type) {
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kQ8_0:
      return PanelKind::kCentred;
    case DType::kQ6_K:
      return PanelKind::kCentred16;
    default:
      return PanelKind::kAffine;
  }
}

}  // namespace deskhand::cpu
