#include "deskhand/tickets/encoding.h"

#include <uchardet/uchardet.h>
#include <unicode/ucnv.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

using namespace std::string_view_literals;

// Bytes of the UTF-8 sequence at the start, 0 if it is none (overlong forms and surrogates are none).
std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF && follows(1)) return 2;
  if (first >= 0xE0 && first <= 0xEF && follows(1) && follows(2)) {
    if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F)) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4 && follows(1) && follows(2) && follows(3)) {
    if ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) return 0;
    return 4;
  }
  return 0;
}

// ICU knows names that it has no table for, such as ISO-8859-16.
bool can_read(const std::string& encoding) {
  UErrorCode status = U_ZERO_ERROR;
  UConverter* converter = ucnv_open(encoding.c_str(), &status);
  if (converter) ucnv_close(converter);
  return U_SUCCESS(status);
}

std::string guess(std::string_view bytes) {
  const std::unique_ptr<uchardet, void (*)(uchardet*)> detector(uchardet_new(), uchardet_delete);
  if (uchardet_handle_data(detector.get(), bytes.data(), bytes.size()) != 0) return "windows-1252";
  uchardet_data_end(detector.get());
  std::string name = uchardet_get_charset(detector.get());
  const bool western = name.empty() || name == "ASCII" || name == "ISO-8859-1" || name == "ISO-8859-15" || name == "UTF-8";
  if (western || !can_read(name)) return "windows-1252";
  return name;
}

}  // namespace

Encoding find_encoding(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF"))
    return {.name = "UTF-8", .mark_bytes = 3, .is_clean_utf8 = find_encoding(bytes.substr(3)).is_clean_utf8};
  if (bytes.starts_with("\xFF\xFE\0\0"sv)) return {.name = "UTF-32LE", .mark_bytes = 4};
  if (bytes.starts_with("\0\0\xFE\xFF"sv)) return {.name = "UTF-32BE", .mark_bytes = 4};
  if (bytes.starts_with("\xFF\xFE")) return {.name = "UTF-16LE", .mark_bytes = 2};
  if (bytes.starts_with("\xFE\xFF")) return {.name = "UTF-16BE", .mark_bytes = 2};

  const auto start = bytes.substr(0, 4096);
  std::size_t zeros[2] = {0, 0};  // at even and odd places: Latin letters in UTF-16 have one each
  for (std::size_t i = 0; i < start.size(); ++i) zeros[i % 2] += start[i] == 0;
  if (zeros[1] * 4 > start.size() && zeros[0] * 16 < start.size()) return {.name = "UTF-16LE"};
  if (zeros[0] * 4 > start.size() && zeros[1] * 16 < start.size()) return {.name = "UTF-16BE"};

  std::size_t good = 0, bad = 0, first_bad = bytes.size();
  for (std::size_t i = 0; i < bytes.size();) {
    const auto length = utf8_sequence(bytes.substr(i));
    good += length > 1;
    if (length == 0) {
      ++bad;
      first_bad = std::min(first_bad, i);
    }
    i += std::max<std::size_t>(length, 1);
  }
  if (bad == 0) return {.name = "UTF-8", .is_clean_utf8 = true};
  if (good >= 10 * bad) return {.name = "UTF-8"};
  constexpr std::size_t kWindow = std::size_t{4} << 20;
  return {.name = guess(bytes.substr(first_bad > kWindow / 2 ? first_bad - kWindow / 2 : 0, kWindow))};
}

std::string to_utf8(std::string_view bytes, const std::string& encoding, const std::string& file) {
  struct Close {
    void operator()(UConverter* converter) const noexcept { ucnv_close(converter); }
  };
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UConverter, Close> from(ucnv_open(encoding.c_str(), &status)), to(ucnv_open("UTF-8", &status));
  if (U_FAILURE(status))
    throw Error(ExitCode::kBadInput, "{}: the encoding \"{}\" is not known; name another in desk.toml", file, encoding);

  std::string text;
  char piece[1 << 14];
  UChar pivot[1 << 13];
  UChar *pivot_source = pivot, *pivot_target = pivot;
  const char *source = bytes.data(), *end = source + bytes.size();
  for (bool first = true;; first = false) {
    char* target = piece;
    status = U_ZERO_ERROR;
    ucnv_convertEx(to.get(), from.get(), &target, piece + sizeof piece, &source, end, pivot, &pivot_source, &pivot_target,
                   pivot + (1 << 13), first, true, &status);
    text.append(piece, target);
    if (status != U_BUFFER_OVERFLOW_ERROR) break;
  }
  if (U_FAILURE(status)) throw Error(ExitCode::kBadInput, "{}: cannot be read as {}: {}", file, encoding, u_errorName(status));
  return text;
}

}  // namespace deskhand
