// An argument as a shell wants it, so that a command which is shown can be copied.
#pragma once
#include <string>
#include <string_view>

namespace deskhand {

// As it is where a POSIX shell reads it so; else in single quotes.
std::string shell_word(std::string_view argument);

}  // namespace deskhand
