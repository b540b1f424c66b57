#include "deskhand/app/toml_section.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/tickets/mapping.h"

namespace deskhand {

TomlSection::TomlSection(const toml::table* table, std::string name, std::string file)
    : table_(table), name_(std::move(name)), file_(std::move(file)) {}

const toml::node* TomlSection::take(std::string_view key) {
  known_.emplace(key);
  return table_ ? table_->get(key) : nullptr;
}

void TomlSection::refuse(const toml::node& node, std::string_view key, std::string_view wanted) const {
  throw Error(ExitCode::kUsage, "{}: line {}: {}{} must be {}", file_, node.source().begin.line, name_.empty() ? "" : name_ + ".", key,
              wanted);
}

void TomlSection::read(std::string_view key, std::string& value) {
  const auto* node = take(key);
  if (!node) return;
  if (!node->is_string()) refuse(*node, key, "a text in quotes");
  value = node->as_string()->get();
}

void TomlSection::read(std::string_view key, bool& value) {
  const auto* node = take(key);
  if (!node) return;
  if (!node->is_boolean()) refuse(*node, key, "true or false");
  value = node->as_boolean()->get();
}

void TomlSection::read(std::string_view key, int& value, int least, int most) {
  const auto* node = take(key);
  if (!node) return;
  const auto found = node->is_integer() ? node->as_integer()->get() : std::int64_t{least} - 1;
  if (found < least || found > most) refuse(*node, key, fmt::format("a whole number from {} to {}", least, most));
  value = static_cast<int>(found);
}

void TomlSection::read_number(std::string_view key, double& value, double least, double most) {
  const auto* node = take(key);
  if (!node) return;
  const auto found = node->value<double>();
  if (!node->is_number() || !found || !(*found >= least && *found <= most))
    refuse(*node, key, fmt::format("a number from {} to {}", least, most));
  value = *found;
}

void TomlSection::read(std::string_view key, double& value, double least, double most) {
  read_number(key, value, least, most);
}

void TomlSection::read(std::string_view key, float& value, double least, double most) {
  double wide = value;
  read_number(key, wide, least, most);
  value = static_cast<float>(wide);
}

void TomlSection::read(std::string_view key, std::vector<std::string>& value) {
  const auto* node = take(key);
  if (!node) return;
  value.clear();
  if (node->is_string()) return value.push_back(node->as_string()->get());
  if (!node->is_array()) refuse(*node, key, "a list of texts");
  for (const auto& item : *node->as_array()) {
    if (!item.is_string()) refuse(item, key, "a list of texts");
    value.push_back(item.as_string()->get());
  }
}

void TomlSection::read(std::string_view key, std::vector<double>& value, double least, double most) {
  const auto* node = take(key);
  if (!node) return;
  const std::string wanted = fmt::format("a list of numbers from {} to {}", least, most);
  if (!node->is_array()) refuse(*node, key, wanted);
  value.clear();
  for (const auto& item : *node->as_array()) {
    const auto found = item.value<double>();
    if (!item.is_number() || !found || !(*found >= least && *found <= most)) refuse(item, key, wanted);
    value.push_back(*found);
  }
}

int TomlSection::choice(std::string_view key, const std::vector<std::string>& choices, int current) {
  const auto* node = take(key);
  if (!node) return current;
  const std::string found = node->value_or(std::string());
  const auto at = std::find(choices.begin(), choices.end(), found);
  if (at == choices.end()) refuse(*node, key, fmt::format("one of \"{}\"", fmt::join(choices, "\", \"")));
  return static_cast<int>(at - choices.begin());
}

std::map<std::string, std::string> TomlSection::texts(std::string_view key) {
  std::map<std::string, std::string> values;
  const auto* node = take(key);
  if (!node) return values;
  if (!node->is_table()) refuse(*node, key, "a table of texts");
  for (const auto& [name, item] : *node->as_table()) {
    if (!item.is_string()) refuse(item, key, "a table of texts");
    values[std::string(name.str())] = item.as_string()->get();
  }
  return values;
}

std::map<std::string, int> TomlSection::integers(std::string_view key) {
  std::map<std::string, int> values;
  const auto* node = take(key);
  if (!node) return values;
  if (!node->is_table()) refuse(*node, key, "a table of whole numbers");
  for (const auto& [name, item] : *node->as_table()) {
    if (!item.is_integer()) refuse(item, key, "a table of whole numbers");
    values[std::string(name.str())] = static_cast<int>(item.as_integer()->get());
  }
  return values;
}

TomlSection TomlSection::section(std::string_view key) {
  const auto* node = take(key);
  if (node && !node->is_table()) refuse(*node, key, fmt::format("a section [{}]", key));
  return TomlSection(node ? node->as_table() : nullptr, name_.empty() ? std::string(key) : name_ + "." + std::string(key), file_);
}

std::vector<TomlSection> TomlSection::sections(std::string_view key) {
  std::vector<TomlSection> found;
  const auto* node = take(key);
  if (!node) return found;
  const std::string name = name_.empty() ? std::string(key) : name_ + "." + std::string(key);
  if (!node->is_array_of_tables()) refuse(*node, key, fmt::format("sections [[{}]]", name));
  for (const auto& item : *node->as_array()) found.push_back(TomlSection(item.as_table(), name, file_));
  return found;
}

void TomlSection::finish() const {
  if (!table_) return;
  for (const auto& [key, node] : *table_) {
    const std::string name(key.str());
    if (known_.contains(name)) continue;
    const auto nearest = std::min_element(known_.begin(), known_.end(),
                                          [&](const auto& a, const auto& b) { return edit_distance(a, name) < edit_distance(b, name); });
    throw Error(ExitCode::kUsage, "{}: line {}: nothing knows '{}'{}; did you mean '{}'?", file_, key.source().begin.line, name,
                name_.empty() ? "" : " in [" + name_ + "]", nearest == known_.end() ? "" : *nearest);
  }
}

}  // namespace deskhand
