#include "deskhand/classify/tf_idf.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr std::size_t kLargestText = std::size_t{1} << 30;  // ICU counts bytes in 32 bits

// The whole text at once, as Python's str.lower: a capital sigma at a word's end becomes the final one.
std::string lowered(std::string_view text) {
  if (text.size() > kLargestText)
    throw Error(ExitCode::kTooLarge, "a text has {} bytes; the most that can be read is {}", text.size(), kLargestText);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode status = U_ZERO_ERROR;
  icu::CaseMap::utf8ToLower("", 0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, status);
  if (U_FAILURE(status)) throw Error(ExitCode::kInternal, "lower-casing a text failed: {}", u_errorName(status));
  return out;
}

// Python's \w: letters, numbers of every kind, the underscore; no combining marks.
bool is_word(UChar32 c) {
  return c == '_' || (c >= 0 && (U_GET_GC_MASK(c) & (U_GC_L_MASK | U_GC_N_MASK)) != 0);
}

// Calls visit(word) for each run of two or more word characters of a lower-cased text.
template <class Visit>
void each_word(std::string_view text, Visit visit) {
  const auto size = static_cast<std::int64_t>(text.size());
  std::int64_t begin = 0;
  int characters = 0;
  const auto finish = [&](std::int64_t end) {
    if (characters >= 2) visit(text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
    characters = 0;
  };
  for (std::int64_t next = 0; next < size;) {
    const std::int64_t at = next;
    UChar32 c;
    U8_NEXT(text.data(), next, size, c);
    if (!is_word(c)) {
      finish(at);
    } else if (characters++ == 0) {
      begin = at;
    }
  }
  finish(size);
}

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

// A word, or two with a space between: number of the first, and of the second plus 1 (0: none).
using TermKey = std::uint64_t;
TermKey key_of(std::int32_t first, std::int32_t second) {
  return static_cast<TermKey>(first) << 32 | static_cast<TermKey>(second + 1);
}
struct TermHash {
  std::size_t operator()(TermKey key) const { return (key ^ key >> 29) * 0x9e3779b97f4a7c15u >> 7; }
};

}  // namespace

struct TfidfVectorizer::Vocabulary {
  std::unordered_map<std::string, std::int32_t, TextHash, std::equal_to<>> words;
  std::unordered_map<TermKey, std::int32_t, TermHash> columns;
  std::vector<const std::string*> spelling;  // of a word by its number; points into words
  std::vector<TermKey> keys;                 // of a column
  std::vector<double> idf;

  std::int32_t find_word(std::string_view word) const {
    const auto at = words.find(word);
    return at == words.end() ? -1 : at->second;
  }
  std::int32_t add_word(std::string_view word) {
    if (const auto known = find_word(word); known >= 0) return known;
    const auto at = words.emplace(std::string(word), static_cast<std::int32_t>(spelling.size())).first;
    spelling.push_back(&at->first);
    return at->second;
  }
  std::int32_t find_term(TermKey key) const {
    const auto at = columns.find(key);
    return at == columns.end() ? -1 : at->second;
  }
  std::int32_t add_term(TermKey key) {
    if (keys.size() == static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
      throw Error(ExitCode::kTooLarge, "the texts have more than {} different terms", keys.size());
    const auto [at, is_new] = columns.try_emplace(key, static_cast<std::int32_t>(keys.size()));
    if (is_new) keys.push_back(key);
    return at->second;
  }
};

namespace {

struct TermCount {
  std::int32_t term, count;
};

// Terms of a text, ascending by number. word(text) and term(key) give a number or -1.
template <class Word, class Term>
void count_terms(std::string_view text, int max_ngram, std::vector<std::int32_t>& terms, std::vector<TermCount>& counts, Word word,
                 Term term) {
  terms.clear();
  counts.clear();
  bool is_first = true;
  std::int32_t last = -1;
  const auto add = [&](TermKey key) {
    if (const auto number = term(key); number >= 0) terms.push_back(number);
  };
  each_word(lowered(text), [&](std::string_view spelled) {
    const auto number = word(spelled);
    if (number >= 0) add(key_of(number, -1));
    if (max_ngram > 1 && !is_first && last >= 0 && number >= 0) add(key_of(last, number));
    is_first = false;
    last = number;
  });
  std::sort(terms.begin(), terms.end());
  for (const auto number : terms) {
    if (counts.empty() || counts.back().term != number) counts.push_back({number, 0});
    ++counts.back().count;
  }
}

// Appends the weighted row of length 1; `counts` ascend by column.
void append_row(SparseRows& rows, std::span<const TermCount> counts, std::span<const double> idf, bool sublinear) {
  const auto weight = [&](const TermCount& term) {
    return (sublinear ? 1 + std::log(static_cast<double>(term.count)) : static_cast<double>(term.count)) *
           idf[static_cast<std::size_t>(term.term)];
  };
  double square = 0;
  for (const auto& term : counts) square += weight(term) * weight(term);
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  for (const auto& term : counts) {
    rows.columns.push_back(term.term);
    rows.values.push_back(static_cast<float>(weight(term) * scale));
  }
  rows.begins.push_back(static_cast<std::int64_t>(rows.columns.size()));
}

}  // namespace

std::vector<std::string> tf_idf_words(std::string_view text) {
  std::vector<std::string> words;
  each_word(lowered(text), [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

TfidfVectorizer::TfidfVectorizer(TfidfSettings settings) : settings_(settings) {
  if (settings.max_ngram < 1 || settings.max_ngram > 2)
    throw Error(ExitCode::kUsage, "max_ngram must be 1 (words) or 2 (words and pairs of words); found {}", settings.max_ngram);
  if (settings.min_df < 1) throw Error(ExitCode::kUsage, "min_df must be at least 1; found {}", settings.min_df);
}
TfidfVectorizer::~TfidfVectorizer() = default;
TfidfVectorizer::TfidfVectorizer(TfidfVectorizer&&) noexcept = default;
TfidfVectorizer& TfidfVectorizer::operator=(TfidfVectorizer&&) noexcept = default;

SparseRows TfidfVectorizer::fit(std::span<const std::string_view> texts) {
  if (texts.empty()) throw Error(ExitCode::kBadInput, "there are no texts to learn words from: at least one is wanted");
  auto vocabulary = std::make_unique<Vocabulary>();
  std::vector<TermCount> all, counts;
  std::vector<std::size_t> ends;
  std::vector<std::int64_t> texts_with;
  std::vector<std::int32_t> terms;
  for (const auto text : texts) {
    count_terms(
        text, settings_.max_ngram, terms, counts, [&](std::string_view word) { return vocabulary->add_word(word); },
        [&](TermKey key) { return vocabulary->add_term(key); });
    texts_with.resize(vocabulary->keys.size());
    for (const auto& term : counts) ++texts_with[static_cast<std::size_t>(term.term)];
    all.insert(all.end(), counts.begin(), counts.end());
    ends.push_back(all.size());
  }

  // Columns by spelling. A space sorts before every word character, so terms compare as their words do.
  std::vector<std::int32_t> by_spelling(vocabulary->spelling.size()), rank(vocabulary->spelling.size());
  std::iota(by_spelling.begin(), by_spelling.end(), 0);
  const auto spelled = [&](std::int32_t word) -> const std::string& { return *vocabulary->spelling[static_cast<std::size_t>(word)]; };
  std::sort(by_spelling.begin(), by_spelling.end(), [&](auto a, auto b) { return spelled(a) < spelled(b); });
  for (std::size_t r = 0; r < by_spelling.size(); ++r) rank[static_cast<std::size_t>(by_spelling[r])] = static_cast<std::int32_t>(r);
  std::vector<std::pair<TermKey, std::int32_t>> kept;  // ranks instead of word numbers, term
  for (std::size_t t = 0; t < vocabulary->keys.size(); ++t) {
    if (texts_with[t] < settings_.min_df) continue;
    const TermKey key = vocabulary->keys[t];
    const auto second = static_cast<std::uint32_t>(key);
    kept.emplace_back(key_of(rank[key >> 32], second == 0 ? -1 : rank[second - 1]), static_cast<std::int32_t>(t));
  }
  std::sort(kept.begin(), kept.end());
  std::vector<std::int32_t> column(vocabulary->keys.size(), -1);
  std::vector<TermKey> keys;
  for (const auto& [ranks, term] : kept) {
    column[static_cast<std::size_t>(term)] = static_cast<std::int32_t>(keys.size());
    keys.push_back(vocabulary->keys[static_cast<std::size_t>(term)]);
    vocabulary->idf.push_back(
        std::log((1 + static_cast<double>(texts.size())) / (1 + static_cast<double>(texts_with[static_cast<std::size_t>(term)]))) + 1);
  }
  vocabulary->keys = std::move(keys);
  std::erase_if(vocabulary->columns, [&](const auto& entry) { return column[static_cast<std::size_t>(entry.second)] < 0; });
  for (auto& [key, number] : vocabulary->columns) number = column[static_cast<std::size_t>(number)];

  SparseRows rows{.width = static_cast<std::int64_t>(vocabulary->keys.size())};
  std::size_t begin = 0;
  for (const auto end : ends) {
    counts.clear();
    for (; begin < end; ++begin)
      if (const auto c = column[static_cast<std::size_t>(all[begin].term)]; c >= 0) counts.push_back({c, all[begin].count});
    std::sort(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.term < b.term; });
    append_row(rows, counts, vocabulary->idf, settings_.sublinear_tf);
  }
  vocabulary_ = std::move(vocabulary);
  return rows;
}

SparseRows TfidfVectorizer::transform(std::span<const std::string_view> texts) const {
  DESKHAND_ASSERT(vocabulary_, "fit comes before transform");
  SparseRows rows{.width = terms()};
  std::vector<TermCount> counts;
  std::vector<std::int32_t> terms;
  for (const auto text : texts) {
    count_terms(
        text, settings_.max_ngram, terms, counts, [&](std::string_view word) { return vocabulary_->find_word(word); },
        [&](TermKey key) { return vocabulary_->find_term(key); });
    append_row(rows, counts, vocabulary_->idf, settings_.sublinear_tf);
  }
  return rows;
}

std::int64_t TfidfVectorizer::terms() const {
  DESKHAND_ASSERT(vocabulary_, "fit comes before terms");
  return static_cast<std::int64_t>(vocabulary_->keys.size());
}

std::string TfidfVectorizer::term(std::int64_t column) const {
  DESKHAND_ASSERT(column >= 0 && column < terms(), "a column that is there");
  const TermKey key = vocabulary_->keys[static_cast<std::size_t>(column)];
  const auto second = static_cast<std::uint32_t>(key);
  const std::string& first = *vocabulary_->spelling[key >> 32];
  return second == 0 ? first : first + ' ' + *vocabulary_->spelling[second - 1];
}

std::span<const double> TfidfVectorizer::idf() const {
  DESKHAND_ASSERT(vocabulary_, "fit comes before idf");
  return vocabulary_->idf;
}

NearestRows::NearestRows(const SparseRows& rows) : by_column_(transpose(rows)), rows_(rows.count()) {}

std::vector<NearRow> NearestRows::nearest(const SparseRow& query, std::int64_t count, std::int64_t except) const {
  std::vector<double> cosines(static_cast<std::size_t>(rows_));
  for (std::size_t i = 0; i < query.columns.size(); ++i) {
    DESKHAND_ASSERT(query.columns[i] < by_column_.count(), "a query of the width of the rows");
    const auto column = by_column_.row(query.columns[i]);
    for (std::size_t r = 0; r < column.columns.size(); ++r)
      cosines[static_cast<std::size_t>(column.columns[r])] += static_cast<double>(query.values[i]) * column.values[r];
  }
  std::vector<NearRow> found;
  for (std::int64_t row = 0; row < rows_; ++row)
    if (const double cosine = cosines[static_cast<std::size_t>(row)]; cosine > 0 && row != except) found.push_back({row, cosine});
  const auto wanted = static_cast<std::ptrdiff_t>(std::clamp<std::int64_t>(count, 0, static_cast<std::int64_t>(found.size())));
  std::partial_sort(found.begin(), found.begin() + wanted, found.end(),
                    [](const auto& a, const auto& b) { return a.cosine != b.cosine ? a.cosine > b.cosine : a.row < b.row; });
  found.resize(static_cast<std::size_t>(wanted));
  return found;
}

}  // namespace deskhand
