// A text as sentences: what resolutions are shortened by and what citations stand for.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace deskhand {

// Trimmed views into `text`, none empty. A sentence ends at . ! ? before white space and an upper-case letter, digit, quote or non-ASCII
// letter, at a line end, and at " || " (which joins activities). Usual abbreviations and single letters do not end one.
std::vector<std::string_view> sentences_of(std::string_view text);

// The longest run of whole sentences from the start that fits into max_bytes; where not even the first does, its whole words and "...".
// Never cuts a character. max_bytes at least 4. A text that fits comes back as it is.
std::string shorten(std::string_view text, std::size_t max_bytes);

}  // namespace deskhand
