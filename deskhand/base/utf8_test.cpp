#include "deskhand/base/utf8.h"

#include <doctest/doctest.h>

#include <cstdint>

namespace deskhand {

TEST_CASE("a character becomes its bytes where their number changes, and what is no character U+FFFD") {
  const auto bytes = [](char32_t character) {
    std::string text;
    append_utf8(text, character);
    return text;
  };
  CHECK(bytes(0x41) == "A");
  CHECK(bytes(0x7F) == "\x7F");
  CHECK(bytes(0x80) == "\xC2\x80");
  CHECK(bytes(0x7FF) == "\xDF\xBF");
  CHECK(bytes(0x800) == "\xE0\xA0\x80");
  CHECK(bytes(0xD7FF) == "\xED\x9F\xBF");
  CHECK(bytes(0xFFFF) == "\xEF\xBF\xBF");
  CHECK(bytes(0x10000) == "\xF0\x90\x80\x80");
  CHECK(bytes(0x10FFFF) == "\xF4\x8F\xBF\xBF");
  for (const std::uint32_t none : {0xD800u, 0xDFFFu, 0x110000u}) CHECK(bytes(char32_t{none}) == "\xEF\xBF\xBD");
}

}  // namespace deskhand
