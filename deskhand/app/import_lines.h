// What was guessed of an export, written into a desk.toml that a person may have edited: other lines and comments stay as they are.
#pragma once
#include <string>
#include <string_view>

#include "deskhand/tickets/guess.h"

namespace deskhand {

// The text with [import]'s keys and tables that say which column is which replaced by `lines`.
std::string with_import(std::string_view toml, const MappingLines& lines);

}  // namespace deskhand
