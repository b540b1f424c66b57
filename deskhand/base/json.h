// nlohmann-json with our errors: what file, which line, which key. Include it in sources, not in headers: it is slow to compile.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace deskhand {

using Json = nlohmann::ordered_json;

// Throws Error(kBadInput, "{where}: not JSON: ..., byte N"). Invalid UTF-8 is refused too.
Json parse_json(std::string_view text, std::string_view where);

// One line, invalid UTF-8 replaced: what is written can always be read again.
std::string write_json(const Json& value, int indent = -1);

}  // namespace deskhand
