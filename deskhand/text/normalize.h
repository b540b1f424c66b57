// Text into the forms that models were trained on: Unicode normal forms, lower case, accents, white space. All text is UTF-8; unless a
// comment says otherwise a function wants valid UTF-8 and gives valid UTF-8. Unicode data is ICU's.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace deskhand {

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_valid_utf8(std::string_view text);
// Any bytes: each maximal wrong part becomes U+FFFD, as the Unicode standard recommends (and Python and Rust do).
std::string repair_utf8(std::string_view bytes);
// How many bytes at the end begin a character that is not complete yet (0..3): a stream holds these back.
std::size_t incomplete_utf8_tail(std::string_view bytes);

// The character at text[at], and `at` moves behind it. Valid UTF-8 only, at < text.size().
char32_t next_character(std::string_view text, std::size_t& at);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
std::string normalize(std::string_view text, NormalForm form);

// Each character by itself, whatever stands around it: a capital sigma at a word's end becomes the plain small sigma, as tokenizers do it.
std::string lower_case(std::string_view text);
// NFD, then without the non-spacing marks (Mn): "Müller" becomes "Muller". What NFD does not take apart stays: "ø", "ß".
std::string strip_accents(std::string_view text);
// Runs of white space become one space, none at the ends.
std::string fold_white_space(std::string_view text);

bool is_white_space(char32_t character);        // Unicode's White_Space
bool is_chinese_character(char32_t character);  // the blocks of CJK ideographs that BERT sets apart; no kana, no hangul
bool is_bert_punctuation(char32_t character);   // Unicode's P*, and every ASCII sign that is neither letter, digit nor space

// What a BERT normaliser does, in its order: clean, Chinese characters apart, accents, lower case.
struct BertNormalization {
  bool clean = true;  // drop control characters and U+FFFD, white space to a space
  bool space_chinese = true;
  bool strip_accents = true;
  bool lower_case = true;
};
std::string bert_normalize(std::string_view text, const BertNormalization& options);

}  // namespace deskhand
