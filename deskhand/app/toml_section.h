// Reads one table of a settings file: a wrong type or a key that nothing knows is an error with file, line and the nearest known key.
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

namespace deskhand {

class TomlSection {
 public:
  // `table` may be null: every value keeps its default.
  TomlSection(const toml::table* table, std::string name, std::string file);

  void read(std::string_view key, std::string& value);
  void read(std::string_view key, bool& value);
  void read(std::string_view key, int& value, int least, int most);
  void read(std::string_view key, double& value, double least, double most);
  void read(std::string_view key, float& value, double least, double most);
  void read(std::string_view key, std::vector<std::string>& value);
  void read(std::string_view key, std::vector<double>& value, double least, double most);
  // One of `choices`; returns its index, or `current` where the key is absent.
  int choice(std::string_view key, const std::vector<std::string>& choices, int current);
  // A sub-table of free keys.
  std::map<std::string, std::string> texts(std::string_view key);
  std::map<std::string, int> integers(std::string_view key);
  TomlSection section(std::string_view key);
  std::vector<TomlSection> sections(std::string_view key);  // of an array of tables; none where the key is absent
  bool has(std::string_view key) const { return table_ && table_->contains(key); }
  void finish() const;  // throws Error(kUsage) for a key that was never read

 private:
  const toml::node* take(std::string_view key);
  [[noreturn]] void refuse(const toml::node& node, std::string_view key, std::string_view wanted) const;
  void read_number(std::string_view key, double& value, double least, double most);

  const toml::table* table_;
  std::string name_, file_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace deskhand
