// Texts that say nearly the same: forwarded mails, reopened tickets, what a monitor sends every night. Two texts are near copies if their
// sets of word shingles (three words in a row, without case and punctuation) have at least `threshold` in common (Jaccard: shared / all).
// A text shorter than a shingle is the set of its words; one without words is a copy of nothing.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "deskhand/base/parallel.h"

namespace deskhand {

struct NearCopySettings {
  // Above 0, at most 1. A text of 20 words with one of them changed has .71 in common with what it was, one of 30 with two changed .65;
  // on four public sets of tickets the number of groups differs by less than 1 % between .5 and .6.
  double threshold = 0.6;
  int shingle_words = 3;  // 1..8
};

// 0..1: the share of shingles in common; 0 where a text has no words.
double shingle_similarity(std::string_view a, std::string_view b, const NearCopySettings& settings = {});

// The group of each text; groups are numbered from 0 in the order of their first text. A chain of near copies is one group. Candidates come
// from MinHash and bands (Broder 1997; 42 bands of 3: a pair at .6 is missed once in 27 000, at .5 once in 270) and are verified exactly;
// where hundreds of texts share a band each is compared with the nearest of them and one of each group found there, not with all.
// The same texts give the same groups, whatever the number of threads. Memory: 8 bytes a shingle and some 40 a text.
// Ctrl-C throws Error(kInterrupted), here and in leaks.
std::vector<std::int64_t> near_copy_groups(std::span<const std::string_view> texts, ThreadPool& pool,
                                           const NearCopySettings& settings = {});

struct Leak {
  std::int64_t test = 0, train = 0;  // indices
  double similarity = 0;             // threshold..1
};
// For each test text that has a near copy among the train texts: the closest, equal ones by the lower index. In the order of the test
// texts. Exact: shingles are looked up rarest first, as many as a text above the threshold cannot do without (prefix filter, Bayardo 2007).
std::vector<Leak> leaks(std::span<const std::string_view> train, std::span<const std::string_view> test, ThreadPool& pool,
                        const NearCopySettings& settings = {});

}  // namespace deskhand
