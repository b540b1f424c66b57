#include "deskhand/app/import_lines.h"

#include <algorithm>
#include <array>

namespace deskhand {
namespace {

constexpr std::array<std::string_view, 7> kKeys = {
    "preset", "dates", "activities", "query_type", "first_activity_is_query", "ignored_activity_types", "written_at_closing"};
constexpr std::array<std::string_view, 3> kTables = {"[import.columns]", "[import.history_columns]", "[import.urgency_labels]"};

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Brackets that are open at the line's end, texts and comments aside: an array may go on in the next line.
int open_brackets(std::string_view line) {
  int depth = 0;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quote) {
      if (line[i] == '\\' && quote == '"')
        ++i;
      else if (line[i] == quote)
        quote = 0;
    } else if (line[i] == '"' || line[i] == '\'') {
      quote = line[i];
    } else if (line[i] == '#') {
      break;
    } else {
      depth += (line[i] == '[') - (line[i] == ']');
    }
  }
  return depth;
}

bool sets_one_of(std::string_view line) {
  const auto equals = line.find('=');
  if (equals == line.npos) return false;
  const auto key = trim(line.substr(0, equals));
  return std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end();
}

}  // namespace

std::string with_import(std::string_view toml, const MappingLines& lines) {
  std::string out;
  bool in_import = false, in_dropped = false, seen = false, tables_written = false;
  int depth = 0;  // of a value that was dropped and goes on
  const auto write_tables = [&] {
    if (seen && !tables_written && !lines.tables.empty()) out += lines.tables + "\n";
    tables_written = tables_written || seen;
  };
  for (std::size_t at = 0; at < toml.size();) {
    const auto end = std::min(toml.find('\n', at), toml.size() - 1);
    const auto whole = toml.substr(at, end - at + 1);
    const auto line = trim(whole.substr(0, whole.find('\n')));
    at = end + 1;
    if (depth > 0) {
      depth += open_brackets(line);
      continue;
    }
    if (line.starts_with('[')) {
      const auto name = trim(line.substr(0, line.find('#')));
      in_dropped = std::find(kTables.begin(), kTables.end(), name) != kTables.end();
      in_import = name == "[import]";
      if (!name.starts_with("[import")) write_tables();
      if (in_dropped) continue;
      out += whole;
      if (in_import) {
        out += lines.keys;
        seen = true;
      }
      continue;
    }
    if (in_dropped && !line.empty() && !line.starts_with('#')) continue;
    if (in_import && sets_one_of(line)) {
      depth = std::max(open_brackets(line.substr(line.find('=') + 1)), 0);
      continue;
    }
    out += whole;
  }
  if (!out.empty() && out.back() != '\n') out += '\n';
  if (!seen) {
    out += "\n[import]\n" + lines.keys;
    seen = true;
  }
  write_tables();
  return out;
}

}  // namespace deskhand
