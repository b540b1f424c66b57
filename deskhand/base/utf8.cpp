#include "deskhand/base/utf8.h"

namespace deskhand {

void append_utf8(std::string& text, char32_t character) {
  if (character > 0x10FFFF || (character >= 0xD800 && character <= 0xDFFF)) character = 0xFFFD;
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (character >> shift & 0x3F)); };
  if (character < 0x80)
    text += static_cast<char>(character);
  else if (character < 0x800)
    text += {static_cast<char>(0xC0 | character >> 6), tail(0)};
  else if (character < 0x10000)
    text += {static_cast<char>(0xE0 | character >> 12), tail(6), tail(0)};
  else
    text += {static_cast<char>(0xF0 | character >> 18), tail(12), tail(6), tail(0)};
}

}  // namespace deskhand
