// Characters to bytes.
#pragma once
#include <string>

namespace deskhand {

// U+FFFD for what is no character: a surrogate, or beyond U+10FFFF.
void append_utf8(std::string& text, char32_t character);

}  // namespace deskhand
