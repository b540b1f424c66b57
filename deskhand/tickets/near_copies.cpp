#include "deskhand/tickets/near_copies.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <numeric>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"

namespace deskhand {
namespace {

using Hash = std::uint64_t;
constexpr int kBands = 42, kBandRows = 3;
constexpr std::size_t kCompared = 16;                       // of the members before it in a band, and as many first members of groups
constexpr std::size_t kLargestText = std::size_t{1} << 30;  // ICU counts bytes in 32 bits
constexpr std::uint32_t kSeed = 20;                         // of the hash functions: any will do, but always the same

Hash mix(Hash x) {  // splitmix64's finalizer
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

void check(const NearCopySettings& settings) {
  if (!(settings.threshold > 0 && settings.threshold <= 1))
    throw Error(ExitCode::kUsage, "the threshold of near copies must lie above 0 and be at most 1; found {}", settings.threshold);
  if (settings.shingle_words < 1 || settings.shingle_words > 8)
    throw Error(ExitCode::kUsage, "a shingle has 1 to 8 words; found {}", settings.shingle_words);
}

std::string folded(std::string_view text) {
  if (text.size() > kLargestText)
    throw Error(ExitCode::kTooLarge, "a text has {} bytes; the most that can be compared is {}", text.size(), kLargestText);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode status = U_ZERO_ERROR;
  icu::CaseMap::utf8Fold(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, status);
  if (U_FAILURE(status)) throw Error(ExitCode::kInternal, "folding a text failed: {}", u_errorName(status));
  return out;
}

// A hash a word: runs of letters, marks and digits.
std::vector<Hash> word_hashes(std::string_view text) {
  const std::string fold = folded(text);
  std::vector<Hash> words;
  Hash word = 0;
  bool inside = false;
  const auto end = static_cast<std::int32_t>(fold.size());
  for (std::int32_t at = 0; at < end;) {
    UChar32 c;
    U8_NEXT(fold.data(), at, end, c);
    const bool is_word = c >= 0 && (U_GET_GC_MASK(c) & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) != 0;
    if (is_word)
      word = mix((inside ? word : 0) + static_cast<Hash>(c) + 0x9e3779b97f4a7c15u);
    else if (inside)
      words.push_back(word);
    inside = is_word;
  }
  if (inside) words.push_back(word);
  return words;
}

// Ascending, each once. 64 bits: among a hundred million different shingles one pair in 3 700 runs falls together.
std::vector<Hash> shingles_of(std::string_view text, int length) {
  std::vector<Hash> words = word_hashes(text);
  const auto n = static_cast<std::size_t>(length);
  if (words.size() >= n) {
    for (std::size_t i = 0; i + n <= words.size(); ++i) {  // in place: only words behind i are still read
      Hash shingle = n;
      for (std::size_t k = 0; k < n; ++k) shingle = mix(shingle * 0x9e3779b97f4a7c15u + words[i + k]);
      words[i] = shingle;
    }
    words.resize(words.size() - n + 1);
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return words;
}

// All texts' shingles one after the other.
struct Shingles {
  std::vector<std::size_t> begins{0};
  std::vector<Hash> hashes;
  std::size_t count() const { return begins.size() - 1; }
  std::span<const Hash> of(std::size_t text) const { return std::span(hashes).subspan(begins[text], begins[text + 1] - begins[text]); }
};

Shingles shingle_all(std::span<const std::string_view> texts, int length, ThreadPool& pool) {
  constexpr std::size_t kAtOnce = 8192;
  Shingles all;
  for (std::size_t first = 0; first < texts.size(); first += kAtOnce) {
    check_interrupt();
    std::vector<std::vector<Hash>> some(std::min(kAtOnce, texts.size() - first));
    pool.parallel_for(static_cast<std::int64_t>(some.size()), 64, [&](std::int64_t begin, std::int64_t end, int) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
        some[i] = shingles_of(texts[first + i], length);
    });
    for (const auto& shingles : some) {
      all.hashes.insert(all.hashes.end(), shingles.begin(), shingles.end());
      all.begins.push_back(all.hashes.size());
    }
  }
  return all;
}

// Shared / all of two ascending sets that are not empty.
double jaccard(std::span<const Hash> a, std::span<const Hash> b) {
  std::size_t shared = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const Hash x = a[i], y = b[j];
    shared += x == y;
    i += x <= y;
    j += y <= x;
  }
  return static_cast<double>(shared) / static_cast<double>(a.size() + b.size() - shared);
}

// Whether sets of these sizes can have `threshold` in common at all.
bool sizes_allow(std::size_t a, std::size_t b, double threshold) {
  return static_cast<double>(std::min(a, b)) / static_cast<double>(std::max(a, b)) >= threshold;
}

class Groups {  // union-find; a group's root is its lowest member
 public:
  explicit Groups(std::size_t count) : parents_(count) { std::iota(parents_.begin(), parents_.end(), std::size_t{0}); }
  std::size_t root(std::size_t i) {
    while (parents_[i] != i) i = parents_[i] = parents_[parents_[i]];
    return i;
  }
  void join(std::size_t a, std::size_t b) {
    a = root(a), b = root(b);
    parents_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<std::size_t> parents_;
};

// Joins near copies among texts that fell into one bucket.
void join_bucket(std::span<const std::size_t> members, const Shingles& shingles, double threshold, Groups& groups) {
  std::vector<std::size_t> leaders;  // members that were in no earlier member's group when they came
  for (std::size_t m = 0; m < members.size(); ++m) {
    const std::size_t text = members[m];
    const auto try_join = [&](std::size_t other) {
      if (groups.root(text) == groups.root(other)) return;
      const auto a = shingles.of(text), b = shingles.of(other);
      if (sizes_allow(a.size(), b.size(), threshold) && jaccard(a, b) >= threshold) groups.join(text, other);
    };
    for (std::size_t back = 1; back <= std::min(m, kCompared); ++back) try_join(members[m - back]);
    for (const auto leader : leaders) try_join(leader);
    const bool is_new = std::none_of(leaders.begin(), leaders.end(), [&](auto leader) { return groups.root(leader) == groups.root(text); });
    if (is_new && leaders.size() < kCompared) leaders.push_back(text);
  }
}

}  // namespace

double shingle_similarity(std::string_view a, std::string_view b, const NearCopySettings& settings) {
  check(settings);
  const auto of_a = shingles_of(a, settings.shingle_words), of_b = shingles_of(b, settings.shingle_words);
  return of_a.empty() || of_b.empty() ? 0 : jaccard(of_a, of_b);
}

std::vector<std::int64_t> near_copy_groups(std::span<const std::string_view> texts, ThreadPool& pool, const NearCopySettings& settings) {
  check(settings);
  const Shingles shingles = shingle_all(texts, settings.shingle_words, pool);
  Groups groups(texts.size());
  std::mt19937_64 random(kSeed);
  std::vector<std::pair<Hash, std::size_t>> keyed(texts.size());
  std::vector<std::size_t> members;
  for (int band = 0; band < kBands; ++band) {
    check_interrupt();
    std::array<Hash, kBandRows> factors, offsets;
    for (auto& factor : factors) factor = random() | 1;
    for (auto& offset : offsets) offset = random();
    pool.parallel_for(static_cast<std::int64_t>(texts.size()), 256, [&](std::int64_t begin, std::int64_t end, int) {
      for (auto text = static_cast<std::size_t>(begin); text < static_cast<std::size_t>(end); ++text) {
        std::array<Hash, kBandRows> least;
        least.fill(~Hash{0});
        for (const Hash shingle : shingles.of(text))
          for (std::size_t r = 0; r < kBandRows; ++r) least[r] = std::min(least[r], shingle * factors[r] + offsets[r]);
        Hash key = 0;
        for (const Hash h : least) key = mix(key + h);
        keyed[text] = {key, text};
      }
    });
    std::sort(keyed.begin(), keyed.end());
    for (std::size_t begin = 0, end; begin < keyed.size(); begin = end) {
      members.clear();
      for (end = begin; end < keyed.size() && keyed[end].first == keyed[begin].first; ++end)
        if (!shingles.of(keyed[end].second).empty()) members.push_back(keyed[end].second);
      if (members.size() > 1) join_bucket(members, shingles, settings.threshold, groups);
    }
  }
  std::vector<std::int64_t> numbers(texts.size());
  std::int64_t next = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto root = groups.root(i);  // never behind i
    numbers[i] = root == i ? next++ : numbers[root];
  }
  return numbers;
}

std::vector<Leak> leaks(std::span<const std::string_view> train, std::span<const std::string_view> test, ThreadPool& pool,
                        const NearCopySettings& settings) {
  check(settings);
  const Shingles known = shingle_all(train, settings.shingle_words, pool), asked = shingle_all(test, settings.shingle_words, pool);

  // Which train texts hold a shingle: (shingle, text), ascending. Only those that a test text has.
  std::vector<Hash> wanted = asked.hashes;
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  std::vector<std::size_t> begins(wanted.size() + 1);
  std::vector<std::pair<std::size_t, std::uint32_t>> places;  // index in wanted, train text
  for (std::size_t text = 0; text < known.count(); ++text) {
    auto from = wanted.begin();
    for (const Hash shingle : known.of(text)) {
      from = std::lower_bound(from, wanted.end(), shingle);
      if (from == wanted.end()) break;
      if (*from == shingle) places.emplace_back(from - wanted.begin(), static_cast<std::uint32_t>(text));
    }
  }
  for (const auto& place : places) ++begins[place.first + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<std::uint32_t> holders(places.size());
  {
    auto next = begins;
    for (const auto& [shingle, text] : places) holders[next[shingle]++] = text;
  }
  places = {};

  std::vector<Leak> best(test.size());
  pool.parallel_for(static_cast<std::int64_t>(test.size()), 16, [&](std::int64_t begin, std::int64_t end, int) {
    std::vector<std::int64_t> seen_by(train.size(), -1);
    std::vector<std::size_t> rarest;
    for (std::int64_t t = begin; t < end; ++t) {
      check_interrupt();
      const auto mine = asked.of(static_cast<std::size_t>(t));
      rarest.clear();
      for (const Hash shingle : mine)
        rarest.push_back(static_cast<std::size_t>(std::lower_bound(wanted.begin(), wanted.end(), shingle) - wanted.begin()));
      const auto holders_of = [&](std::size_t shingle) { return begins[shingle + 1] - begins[shingle]; };
      std::sort(rarest.begin(), rarest.end(), [&](auto a, auto b) { return std::pair(holders_of(a), a) < std::pair(holders_of(b), b); });
      Leak& leak = best[static_cast<std::size_t>(t)];
      leak = {.test = t, .train = -1};
      double floor = settings.threshold;
      const auto size = static_cast<double>(mine.size());
      for (std::size_t i = 0; i < rarest.size(); ++i) {
        // A text that shares none of the first i shingles has at most the others in common: (n - i) / n.
        if ((size - static_cast<double>(i)) / size < floor) break;
        for (std::size_t at = begins[rarest[i]]; at < begins[rarest[i] + 1]; ++at) {
          const std::size_t text = holders[at];
          if (std::exchange(seen_by[text], t) == t) continue;
          const auto other = known.of(text);
          if (!sizes_allow(mine.size(), other.size(), floor)) continue;
          const double similarity = jaccard(mine, other);
          const auto index = static_cast<std::int64_t>(text);
          if (similarity < floor || (leak.train >= 0 && similarity == leak.similarity && index > leak.train)) continue;
          leak.train = index;
          leak.similarity = floor = similarity;
        }
      }
    }
  });
  std::erase_if(best, [](const Leak& leak) { return leak.train < 0; });
  return best;
}

}  // namespace deskhand
