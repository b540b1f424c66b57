#include "deskhand/app/shell_word.h"

#include <algorithm>

namespace deskhand {

std::string shell_word(std::string_view argument) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./=:,+@%";
  const auto is_plain = [&](const char c) { return kPlain.find(c) != std::string_view::npos; };
  if (!argument.empty() && std::all_of(argument.begin(), argument.end(), is_plain)) return std::string(argument);
  std::string word = "'";
  for (const char c : argument) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

}  // namespace deskhand
