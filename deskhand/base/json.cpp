#include "deskhand/base/json.h"

#include "deskhand/base/error.h"

namespace deskhand {

Json parse_json(std::string_view text, std::string_view where) {
  constexpr int kMaxDepth = 200;   // deeper nesting is an attack on the stack, not a document
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) throw Error(ExitCode::kBadInput, "{}: JSON nested deeper than {} levels, at byte {}", where, kMaxDepth, i);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    const std::string_view reason = error.what();
    throw Error(ExitCode::kBadInput, "{}: not valid JSON at byte {}: {}", where, error.byte, reason.substr(reason.find("] ") + 2));
  } catch (const nlohmann::json::exception& error) {   // a number beyond double's range
    const std::string_view reason = error.what();
    throw Error(ExitCode::kBadInput, "{}: not valid JSON: {}", where, reason.substr(reason.find("] ") + 2));
  }
}

std::string write_json(const Json& value, int indent) { return value.dump(indent, ' ', false, Json::error_handler_t::replace); }

}  // namespace deskhand
