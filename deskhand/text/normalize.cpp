#include "deskhand/text/normalize.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/base/utf8.h"

namespace deskhand {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// The length of the character that starts at text[at], or 0 and in `wrong` the length of the maximal wrong part.
std::size_t character_length(std::string_view text, std::size_t at, std::size_t& wrong) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return 1;
  wrong = 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  for (std::size_t i = 1; i < length; ++i) {
    unsigned low = 0x80, high = 0xBF;  // the second byte's range excludes overlong forms, surrogates and what is beyond U+10FFFF
    if (i == 1) {
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    if (at + i >= text.size() || byte(at + i) < low || byte(at + i) > high) return 0;
    wrong = i + 1;
  }
  return length;
}

const icu::Normalizer2& normalizer(NormalForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* found = nullptr;
  switch (form) {
    case NormalForm::kNfc:
      found = icu::Normalizer2::getNFCInstance(status);
      break;
    case NormalForm::kNfd:
      found = icu::Normalizer2::getNFDInstance(status);
      break;
    case NormalForm::kNfkc:
      found = icu::Normalizer2::getNFKCInstance(status);
      break;
    case NormalForm::kNfkd:
      found = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  if (U_FAILURE(status) || found == nullptr) {
    throw Error(ExitCode::kInternal, "ICU has no data for Unicode normalization ({}); reinstall libicu", u_errorName(status));
  }
  return *found;
}

icu::StringPiece piece_of(std::string_view text) {
  if (text.size() > std::size_t{1} << 30)
    throw Error(ExitCode::kTooLarge, "a text of {} bytes; at most 1 GiB can be normalized at once", text.size());
  return {text.data(), static_cast<int32_t>(text.size())};
}

void append_lower(std::string& out, char32_t character) {
  if (character == 0x130) {  // the one character whose small form is two
    out += "i\xCC\x87";
  } else {
    append_utf8(out, static_cast<char32_t>(u_tolower(static_cast<UChar32>(character))));
  }
}

bool is_control(char32_t character) {
  if (character == '\t' || character == '\n' || character == '\r') return false;
  const auto category = u_charType(static_cast<UChar32>(character));
  return category == U_CONTROL_CHAR || category == U_FORMAT_CHAR || category == U_PRIVATE_USE_CHAR || category == U_SURROGATE;
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  std::size_t wrong = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = character_length(text, at, wrong);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string repair_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    std::size_t wrong = 0;
    const std::size_t length = character_length(bytes, at, wrong);
    if (length == 0)
      out += "\xEF\xBF\xBD";
    else
      out.append(bytes, at, length);
    at += length == 0 ? wrong : length;
  }
  return out;
}

std::size_t incomplete_utf8_tail(std::string_view bytes) {
  for (std::size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const auto lead = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if (lead < 0x80) return 0;
    if (lead < 0xC0) continue;
    std::size_t wrong = 0;
    const std::size_t length = lead < 0xC2 || lead > 0xF4 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (length <= back) return 0;
    return character_length(bytes, bytes.size() - back, wrong) == 0 && wrong == back ? back : 0;
  }
  return 0;
}

char32_t next_character(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  const char32_t lead = byte(at);
  if (lead < 0x80) return at += 1, lead;
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  DESKHAND_ASSERT(at + length <= text.size(), "next_character wants valid UTF-8");
  char32_t character = lead & (0xFF >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) character = character << 6 | (byte(at + i) & 0x3F);
  at += length;
  return character;
}

std::string normalize(std::string_view text, NormalForm form) {
  if (is_ascii(text)) return std::string(text);
  const icu::Normalizer2& rules = normalizer(form);
  UErrorCode status = U_ZERO_ERROR;
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  rules.normalizeUTF8(0, piece_of(text), sink, nullptr, status);
  if (U_FAILURE(status))
    throw Error(ExitCode::kInternal, "ICU could not normalize a text of {} bytes: {}", text.size(), u_errorName(status));
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) append_lower(out, next_character(text, at));
  return out;
}

std::string strip_accents(std::string_view text) {
  if (is_ascii(text)) return std::string(text);
  const std::string apart = normalize(text, NormalForm::kNfd);
  std::string out;
  out.reserve(apart.size());
  for (std::size_t at = 0; at < apart.size();) {
    const char32_t character = next_character(apart, at);
    if (character < 0x80 || u_charType(static_cast<UChar32>(character)) != U_NON_SPACING_MARK) append_utf8(out, character);
  }
  return out;
}

std::string fold_white_space(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool space = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t character = next_character(text, at);
    if (is_white_space(character)) {
      space = true;
      continue;
    }
    if (space && !out.empty()) out += ' ';
    space = false;
    append_utf8(out, character);
  }
  return out;
}

bool is_white_space(char32_t character) {
  if (character < 0x80) return character == ' ' || (character >= 9 && character <= 13);
  return u_isUWhiteSpace(static_cast<UChar32>(character));
}

bool is_chinese_character(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_bert_punctuation(char32_t character) {
  if (character < 0x80) {
    return (character >= '!' && character <= '/') || (character >= ':' && character <= '@') || (character >= '[' && character <= '`') ||
           (character >= '{' && character <= '~');
  }
  return u_ispunct(static_cast<UChar32>(character));
}

std::string bert_normalize(std::string_view text, const BertNormalization& options) {
  std::string clean;
  clean.reserve(text.size() + text.size() / 8);
  for (std::size_t at = 0; at < text.size();) {
    const char32_t character = next_character(text, at);
    if (options.clean && (character == 0 || character == 0xFFFD || is_control(character))) continue;
    if (options.clean && is_white_space(character)) {
      clean += ' ';
    } else if (options.space_chinese && is_chinese_character(character)) {
      clean += ' ';
      append_utf8(clean, character);
      clean += ' ';
    } else {
      append_utf8(clean, character);
    }
  }
  if (options.strip_accents) clean = strip_accents(clean);
  return options.lower_case ? lower_case(clean) : clean;
}

}  // namespace deskhand
