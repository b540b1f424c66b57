// fuzzy_speed PAIRS.json ROUNDS: token_set_ratio of pairs of texts by deskhand and by rapidfuzz-cpp, in turn, in one process. PAIRS.json is
// a list of [answer, reference]. Compiled by eval_fuzzy.py, which knows where rapidfuzz-cpp's headers are. One JSON object: pairs a second
// of each round, and the greatest difference of the values.
//
// deskhand decodes, splits and sorts in the measured time; rapidfuzz gets decoded strings, of bytes where the characters allow it as in
// Python. It runs as one function and with the first text cached; the faster one of the two counts, round by round.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <rapidfuzz/fuzz.hpp>
#include <string>
#include <variant>
#include <vector>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/text/fuzzy.h"

using namespace deskhand;

namespace {

using Decoded = std::variant<std::vector<std::uint8_t>, std::vector<std::uint16_t>, std::vector<std::uint32_t>>;

Decoded decode(const std::string& text) {
  const FuzzyText whole(text);
  const auto characters = whole.characters();
  const std::uint32_t highest = characters.empty() ? 0 : *std::max_element(characters.begin(), characters.end());
  if (highest < 0x100) return std::vector<std::uint8_t>(characters.begin(), characters.end());
  if (highest < 0x10000) return std::vector<std::uint16_t>(characters.begin(), characters.end());
  return std::vector<std::uint32_t>(characters.begin(), characters.end());
}

template <class Text>
using Cached = rapidfuzz::fuzz::CachedTokenSetRatio<typename Text::value_type>;

template <class Measure>
double pairs_a_second(std::vector<double>& values, std::size_t count, Measure measure) {
  values.resize(count);
  const std::clock_t start = std::clock();  // processor time: others may be at work on the machine
  for (std::size_t i = 0; i < count; ++i) values[i] = measure(i);
  return static_cast<double>(count) * CLOCKS_PER_SEC / static_cast<double>(std::clock() - start);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    fmt::print(stderr, "usage: fuzzy_speed PAIRS.json ROUNDS\n");
    return 2;
  }
  std::vector<std::pair<std::string, std::string>> texts;
  for (const Json& pair : parse_json(read_text_file(arguments[1]), arguments[1])) texts.emplace_back(pair[0], pair[1]);
  std::vector<std::pair<Decoded, Decoded>> decoded;
  for (const auto& [answer, reference] : texts) decoded.emplace_back(decode(answer), decode(reference));

  std::vector<double> values, peer_values, ours, peer, ours_prepared, peer_prepared;
  double worst = 0;
  for (int round = 0; round <= std::atoi(arguments[2]); ++round) {  // the first is a warm-up
    const double whole = pairs_a_second(
        values, texts.size(), [&](std::size_t i) { return token_set_ratio(FuzzyText(texts[i].first), FuzzyText(texts[i].second)); });
    const double function = pairs_a_second(peer_values, texts.size(), [&](std::size_t i) {
      return std::visit([](const auto& a, const auto& b) { return rapidfuzz::fuzz::token_set_ratio(a, b); }, decoded[i].first,
                        decoded[i].second);
    });
    for (std::size_t i = 0; i < values.size(); ++i) worst = std::max(worst, std::abs(values[i] - peer_values[i]));
    const double cached = pairs_a_second(peer_values, texts.size(), [&](std::size_t i) {
      return std::visit([](const auto& a, const auto& b) { return Cached<std::decay_t<decltype(a)>>(a).similarity(b); }, decoded[i].first,
                        decoded[i].second);
    });

    // One reference and all answers: each side prepares it once.
    const FuzzyText reference(texts[0].second);
    const double answers =
        pairs_a_second(values, texts.size(), [&](std::size_t i) { return token_set_ratio(FuzzyText(texts[i].first), reference); });
    const double peer_answers = std::visit(
        [&](const auto& b) {
          const Cached<std::decay_t<decltype(b)>> kept(b);
          return pairs_a_second(peer_values, texts.size(), [&](std::size_t i) {
            return std::visit([&](const auto& a) { return kept.similarity(a); }, decoded[i].first);
          });
        },
        decoded[0].second);
    for (std::size_t i = 0; i < values.size(); ++i) worst = std::max(worst, std::abs(values[i] - peer_values[i]));
    if (round == 0) continue;
    ours.push_back(whole), peer.push_back(std::max(function, cached));
    ours_prepared.push_back(answers), peer_prepared.push_back(peer_answers);
  }
  fmt::print("{{\"ours\": [{:.1f}], \"peer\": [{:.1f}], \"ours_prepared\": [{:.1f}], \"peer_prepared\": [{:.1f}], \"worst\": {}}}\n",
             fmt::join(ours, ", "), fmt::join(peer, ", "), fmt::join(ours_prepared, ", "), fmt::join(peer_prepared, ", "), worst);
  return 0;
}
