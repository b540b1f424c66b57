// The desk's domain keywords (domain_keywords.txt, one a line) and the score the seed made of them. A keyword is a sequence of words
// ("credit note"), compared in upper case and found only as whole words; how often it stands in a text does not matter.
//
//   unmended  count of keywords in the stored case, scaled over all cases to 0..1. The query has no say: the fault that is kept for
//   comparison mended    count of keywords that query and case share, scaled likewise; 0 everywhere if none is shared
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace deskhand {

class KeywordList {
 public:
  KeywordList() = default;  // no keywords
  // Blank lines, lines that start with "#", a byte order mark and repetitions are passed over.
  static KeywordList from_text(std::string_view lines);
  static KeywordList from_file(const std::filesystem::path& path);  // throws Error(kNotFound)

  std::int64_t size() const noexcept { return static_cast<std::int64_t>(keywords_.size()); }
  const std::string& at(std::uint32_t keyword) const { return keywords_[keyword]; }  // upper case, words joined by one space
  std::vector<std::uint32_t> find(std::string_view text) const;                      // distinct, ascending

 private:
  std::vector<std::string> keywords_;
  std::unordered_map<std::string, std::vector<std::uint32_t>> by_first_word_;
};

// Which keywords each case has. Items are numbered from 0 in the order they are added.
class KeywordIndex {
 public:
  void add(std::span<const std::uint32_t> keywords);
  std::int64_t size() const noexcept { return static_cast<std::int64_t>(counts_.size()); }

  std::span<const float> stored_counts() const noexcept { return counts_; }               // (size) the unmended count
  std::vector<float> shared_counts(std::span<const std::uint32_t> query_keywords) const;  // (size) the mended count

 private:
  std::vector<float> counts_;
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> postings_;
};

// Scales to 0..1 over the items that are not NaN, in place; all zero if they are all equal. NaN stays.
void scale_min_max(std::span<float> values);

}  // namespace deskhand
