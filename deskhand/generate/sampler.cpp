#include "deskhand/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "deskhand/base/error.h"

namespace deskhand {

void check(const SamplerSettings& settings) {
  if (!(settings.temperature >= 0 && settings.temperature <= 10))
    throw Error(ExitCode::kUsage, "temperature is {}; 0 (the likeliest token) to 10 are possible", settings.temperature);
  if (!(settings.top_p > 0 && settings.top_p <= 1))
    throw Error(ExitCode::kUsage, "top_p is {}; more than 0 and at most 1 is wanted", settings.top_p);
  if (settings.top_k < 0) throw Error(ExitCode::kUsage, "top_k is {}; 0 (all) or more is wanted", settings.top_k);
}

double uniform(std::uint64_t seed, std::uint64_t step) {
  const auto mix = [](std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  };
  const std::uint64_t bits = mix(mix(seed + 0x9e3779b97f4a7c15u) + (step + 1) * 0x9e3779b97f4a7c15u);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

std::int32_t pick_token(std::span<const float> logits, const TokenMask* mask, std::span<const std::int32_t> banned,
                        const SamplerSettings& settings, std::uint64_t step) {
  const auto size = static_cast<std::int32_t>(logits.size());
  const auto each = [&](auto&& visit) {
    const auto unless_banned = [&](std::int32_t token) {
      if (token >= size || std::find(banned.begin(), banned.end(), token) != banned.end()) return;
      if (std::isnan(logits[static_cast<std::size_t>(token)]))
        throw Error(ExitCode::kBadInput, "the model's logit of token {} is not a number: its weights are damaged or overflow", token);
      visit(token, logits[static_cast<std::size_t>(token)]);
    };
    if (mask != nullptr)
      mask->for_each(unless_banned);
    else
      for (std::int32_t token = 0; token < size; ++token) unless_banned(token);
  };

  std::int32_t best = -1;
  float best_logit = 0;
  if (settings.temperature == 0) {
    each([&](std::int32_t token, float logit) {
      if (best < 0 || logit > best_logit || (logit == best_logit && token < best)) {
        best = token;
        best_logit = logit;
      }
    });
    return best;
  }

  std::vector<std::pair<float, std::int32_t>> options;
  each([&](std::int32_t token, float logit) { options.emplace_back(logit, token); });
  if (options.empty()) return -1;
  const auto likelier = [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; };
  if (settings.top_k > 0 && options.size() > static_cast<std::size_t>(settings.top_k)) {
    std::nth_element(options.begin(), options.begin() + settings.top_k, options.end(), likelier);
    options.resize(static_cast<std::size_t>(settings.top_k));
  }
  std::sort(options.begin(), options.end(), likelier);
  if (std::isinf(options[0].first)) return options[0].second;
  std::vector<double> weights(options.size());
  double total = 0;
  for (std::size_t i = 0; i < options.size(); ++i)
    total += weights[i] = std::exp((static_cast<double>(options[i].first) - options[0].first) / settings.temperature);
  double kept = 0;
  std::size_t count = 0;
  while (count < options.size() && (count == 0 || kept < settings.top_p * total)) kept += weights[count++];
  double left = uniform(settings.seed, step) * kept;
  for (std::size_t i = 0; i < count; ++i) {
    left -= weights[i];
    if (left < 0) return options[i].second;
  }
  return options[count - 1].second;
}

}  // namespace deskhand
