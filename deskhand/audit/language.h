// Which language a text is written in, by Debian's libcld2 (83 languages, character n-grams).
#pragma once
#include <string>
#include <string_view>

namespace deskhand {

// ISO 639-1: "en", "de"; "unknown" where the text is too short or too mixed to tell. Texts are UTF-8; what is not is "unknown".
std::string language_of(std::string_view text);

// "German"; the code itself where it has no name.
std::string language_name(std::string_view code);

}  // namespace deskhand
