// Words as all lexical channels see them: runs of letters, digits and underscores of any script (Python's \w+ without combining marks).
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace deskhand {

// The words of a UTF-8 text in order, as views into it. Bytes that are not UTF-8, NUL and punctuation separate words.
// with_marks: combining marks belong to the word they follow, as FTS5's unicode61 has it.
std::vector<std::string_view> words_of(std::string_view text, bool with_marks = false);

// Bytes that are not UTF-8 become U+FFFD in all three.
std::string upper(std::string_view text);      // full Unicode mapping without a locale, as Python's str.upper
std::string fold_case(std::string_view text);  // for comparing: "Straße" and "STRASSE" fold alike
std::string valid_utf8(std::string_view text);

// The seed's `tokens`: the set of upper-case words, sorted by bytes.
std::vector<std::string> upper_tokens(std::string_view text);

}  // namespace deskhand
