// What a text file is written in, and the text as UTF-8.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace deskhand {

struct Encoding {
  std::string name;            // an ICU name; "UTF-8" for UTF-8 and ASCII
  std::size_t mark_bytes = 0;  // of the byte order mark
  bool is_clean_utf8 = false;  // the bytes after the mark can be used as they are
};

// By byte order mark; else UTF-8 if it is valid (or nearly: ten good sequences for a bad one); else a guess, windows-1252 if there is none.
Encoding find_encoding(std::string_view bytes);

// Bytes that the encoding does not have become U+FFFD. Throws Error(kBadInput) for an encoding that ICU lacks.
std::string to_utf8(std::string_view bytes, const std::string& encoding, const std::string& file);

}  // namespace deskhand
