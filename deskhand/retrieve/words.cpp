#include "deskhand/retrieve/words.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <cstdint>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr std::size_t kLargestText = std::size_t{1} << 30;  // ICU counts bytes in 32 bits

void check_size(std::string_view text) {
  if (text.size() > kLargestText)
    throw Error(ExitCode::kTooLarge, "a text has {} bytes; the most that can be read is {}", text.size(), kLargestText);
}

bool is_word(UChar32 c, bool with_marks) {
  if (c < 0) return false;
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  const auto mask = U_MASK(u_charType(c));
  return (mask & (U_GC_L_MASK | U_GC_N_MASK)) != 0 || (with_marks && (mask & U_GC_M_MASK) != 0);
}

}  // namespace

std::vector<std::string_view> words_of(std::string_view text, bool with_marks) {
  std::vector<std::string_view> words;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto size = static_cast<std::int64_t>(text.size());
  std::int64_t begin = -1;
  for (std::int64_t next = 0; next < size;) {
    const std::int64_t at = next;
    UChar32 c;
    U8_NEXT(bytes, next, size, c);
    if (is_word(c, with_marks)) {
      if (begin < 0) begin = at;
    } else if (begin >= 0) {
      words.push_back(text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(at - begin)));
      begin = -1;
    }
  }
  if (begin >= 0) words.push_back(text.substr(static_cast<std::size_t>(begin)));
  return words;
}

std::string upper(std::string_view text) {
  check_size(text);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode status = U_ZERO_ERROR;
  icu::CaseMap::utf8ToUpper("", 0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, status);
  if (U_FAILURE(status)) throw Error(ExitCode::kInternal, "upper-casing a text failed: {}", u_errorName(status));
  return out;
}

std::string fold_case(std::string_view text) {
  check_size(text);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode status = U_ZERO_ERROR;
  icu::CaseMap::utf8Fold(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, status);
  if (U_FAILURE(status)) throw Error(ExitCode::kInternal, "folding a text failed: {}", u_errorName(status));
  return out;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto size = static_cast<std::int64_t>(text.size());
  for (std::int64_t next = 0; next < size;) {
    const std::int64_t at = next;
    UChar32 c;
    U8_NEXT(bytes, next, size, c);
    if (c < 0) {
      out += "\xEF\xBF\xBD";
    } else {
      out += text.substr(static_cast<std::size_t>(at), static_cast<std::size_t>(next - at));
    }
  }
  return out;
}

std::vector<std::string> upper_tokens(std::string_view text) {
  const std::string raised = upper(text);
  const auto words = words_of(raised);
  std::vector<std::string> tokens(words.begin(), words.end());
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

}  // namespace deskhand
