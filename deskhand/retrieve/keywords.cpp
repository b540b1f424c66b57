#include "deskhand/retrieve/keywords.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "deskhand/base/mapped_file.h"
#include "deskhand/retrieve/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kLargestFile = std::size_t{16} << 20;

}  // namespace

KeywordList KeywordList::from_text(std::string_view lines) {
  if (lines.starts_with("\xEF\xBB\xBF")) lines.remove_prefix(3);
  KeywordList list;
  std::unordered_set<std::string> seen;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (line.starts_with('#')) continue;
    const std::string raised = upper(line);
    const auto words = words_of(raised);
    if (words.empty()) continue;
    std::string keyword(words.front());
    for (std::size_t i = 1; i < words.size(); ++i) keyword.append(" ").append(words[i]);
    if (!seen.insert(keyword).second) continue;
    list.by_first_word_[std::string(words.front())].push_back(static_cast<std::uint32_t>(list.keywords_.size()));
    list.keywords_.push_back(std::move(keyword));
  }
  return list;
}

KeywordList KeywordList::from_file(const std::filesystem::path& path) {
  return from_text(read_text_file(path, kLargestFile));
}

std::vector<std::uint32_t> KeywordList::find(std::string_view text) const {
  std::vector<std::uint32_t> found;
  if (keywords_.empty()) return found;
  const std::string raised = upper(text);
  const auto words = words_of(raised);
  const auto stands_at = [&](std::string_view keyword, std::size_t at) {
    for (; at < words.size(); ++at) {
      if (!keyword.starts_with(words[at])) return false;
      keyword.remove_prefix(words[at].size());
      if (keyword.empty()) return true;
      if (keyword.front() != ' ') return false;
      keyword.remove_prefix(1);
    }
    return false;
  };
  for (std::size_t at = 0; at < words.size(); ++at) {
    const auto candidates = by_first_word_.find(std::string(words[at]));
    if (candidates == by_first_word_.end()) continue;
    for (const std::uint32_t keyword : candidates->second)
      if (stands_at(keywords_[keyword], at)) found.push_back(keyword);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

void KeywordIndex::add(std::span<const std::uint32_t> keywords) {
  const auto item = static_cast<std::uint32_t>(counts_.size());
  for (const std::uint32_t keyword : keywords) postings_[keyword].push_back(item);
  counts_.push_back(static_cast<float>(keywords.size()));
}

std::vector<float> KeywordIndex::shared_counts(std::span<const std::uint32_t> query_keywords) const {
  std::vector<float> counts(counts_.size());
  for (const std::uint32_t keyword : query_keywords) {
    const auto posting = postings_.find(keyword);
    if (posting == postings_.end()) continue;
    for (const std::uint32_t item : posting->second) ++counts[item];
  }
  return counts;
}

void scale_min_max(std::span<float> values) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (const float x : values) {
    if (std::isnan(x)) continue;
    low = std::min(low, x);
    high = std::max(high, x);
  }
  for (float& x : values)
    if (!std::isnan(x)) x = high > low ? (x - low) / (high - low) : 0;
}

}  // namespace deskhand
