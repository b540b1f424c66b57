// What scikit-learn and scipy said, saved by tools/save_golden_evaluate_stats.py. For tests.
#pragma once
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {

inline const Json& golden_statistics() {
  static const Json all =
      parse_json(read_text_file(std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/evaluate/stats.json"), "stats.json");
  return all;
}

// Within 1e-6: in absolute terms below 1 and relative above; for p values, which may be tiny, 1e-6 of the value.
inline doctest::Approx golden(const Json& value) {
  return doctest::Approx(value.get<double>()).epsilon(1e-6).scale(1);
}
inline doctest::Approx golden_p(const Json& value) {
  return doctest::Approx(value.get<double>()).epsilon(1e-6).scale(1e-12);
}

}  // namespace deskhand
