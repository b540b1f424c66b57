// For tests: what scikit-learn gave, saved by tools/save_golden_classify.py.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {

inline Json classify_goldens() {
  const std::string file = std::string(DESKHAND_SOURCE_DIR) + "/tests/golden/classify/classify.json";
  return parse_json(read_text_file(file), file);
}

struct Texts {  // owns what the views see
  std::vector<std::string> owned;
  std::vector<std::string_view> views;
  explicit Texts(std::vector<std::string> texts) : owned(std::move(texts)), views(owned.begin(), owned.end()) {}
};

}  // namespace deskhand
