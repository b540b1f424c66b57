// What the tests of adapters share: the golden models and what they say.
#pragma once
#include <cmath>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/mapped_file.h"
#include "deskhand/model/decoder.h"

namespace deskhand::testing {

inline const std::filesystem::path kGolden = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden";

inline Backend plain_backend() {
  return {.kind = Backend::Kind::kReference};
}

// The name of the golden model that a golden adapter is for.
inline std::string base_of(const std::string& adapter) {
  std::string base = read_text_file(kGolden / "adapters" / adapter / "base.txt");
  base.pop_back();
  return base;
}

inline Tensor logits_of(const Decoder& decoder, std::span<const std::int32_t> prompt) {
  const auto count = static_cast<std::int32_t>(prompt.size());
  auto buffers = decoder.make_buffers({.tokens = 64, .positions = 64});
  std::vector<std::int32_t> rows(prompt.size());
  std::iota(rows.begin(), rows.end(), 0);
  const std::vector<std::int32_t> bounds = {0, count};
  Tensor logits(DType::kF32, {count, decoder.config().vocabulary});
  decoder.forward_packed(plain_backend(), buffers, prompt, bounds, rows, logits);
  return logits;
}

inline double largest_difference(std::span<const float> a, std::span<const float> b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, static_cast<double>(std::abs(a[i] - b[i])));
  return largest;
}

}  // namespace deskhand::testing
