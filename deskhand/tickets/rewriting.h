// A ticket's texts in a few plain sentences: what a model wrote is tidied and checked against its source before it may stand for it; where
// no model is wanted, the source's own sentences are chosen.
#pragma once
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "deskhand/tickets/clean.h"

namespace deskhand {

enum class RewriteKind { kProblem, kResolution };       // CLEAN_PROBLEM, RESOLUTION_SUMMARY
inline constexpr std::size_t kMostWords[] = {80, 100};  // of each, as in the original scripts
inline constexpr std::size_t most_words(RewriteKind kind) {
  return kMostWords[static_cast<std::size_t>(kind)];
}

enum class RewriteFault {
  kNone,
  kNoAnswer,   // the model failed, or said nothing
  kRefusal,    // "I'm sorry, but ..."
  kLoop,       // the same words over and over
  kInvention,  // a number or a code that the source does not have
  kPersonal,   // a name, a number of somebody
  kTooLong,    // and no sentence's end to cut at
  kCount
};
inline constexpr std::size_t kRewriteFaults = static_cast<std::size_t>(RewriteFault::kCount);
std::string_view name_of(RewriteFault fault);  // "invention"

// Without bullets, labels ("Summary: ..."), quotes around it, greetings and line ends; cut behind the last sentence that fits. `plain`
// redacts nothing, so that check_rewriting sees what is personal.
std::string tidy_rewriting(std::string_view text, std::size_t most, Cleaner& plain);
// text: tidied. The source is the cleaned text it was made of; the cleaner redacts as that was.
RewriteFault check_rewriting(std::string_view source, std::string_view text, std::size_t most, Cleaner& cleaner);

// The source's own sentences, at most so many words: the first, then those whose words are the commonest in it, in their order.
std::string extract_summary(std::string_view text, std::size_t most);

std::size_t count_words(std::string_view text);  // runs of what is not white space

}  // namespace deskhand
