// JSON lines as a table. The columns are the keys of all objects, in the order they first appear: the file is read twice.
#include <algorithm>
#include <unordered_map>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/encoding.h"
#include "deskhand/tickets/table.h"

namespace deskhand {
namespace {

class JsonLinesReader final : public TableReader {
 public:
  JsonLinesReader(const std::filesystem::path& path, const TableOptions& options)
      : TableReader(path), limits_(options.limits), file_(path) {
    text_ = {reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size()};
    auto encoding = find_encoding(text_.substr(0, 1 << 16));
    text_.remove_prefix(std::min(encoding.mark_bytes, text_.size()));
    if (!options.encoding.empty()) encoding = {.name = options.encoding};
    if (encoding.name.starts_with("UTF-16") || encoding.name.starts_with("UTF-32") || !options.encoding.empty()) {
      if (static_cast<std::int64_t>(text_.size()) > limits_.part_bytes)
        throw Error(ExitCode::kTooLarge, "{}: {} bytes of {} do not fit; convert the file to UTF-8", path.string(), text_.size(),
                    encoding.name);
      converted_ = to_utf8(text_, encoding.name, path.string());
      text_ = converted_;
    }
    Json object;
    for (;;) {
      try {
        if (!read(object)) break;
      } catch (const RowError&) {
        continue;  // next() says so in its turn
      }
      for (const auto& [key, value] : object.items()) {
        if (!column_of_.try_emplace(key, header_.size()).second) continue;
        if (static_cast<std::int64_t>(header_.size()) >= limits_.columns)
          throw Error(ExitCode::kTooLarge, "{}: line {}: more than {} different keys", path.string(), line_, limits_.columns);
        header_.push_back(key);
      }
    }
    at_ = 0;
    line_ = 0;
  }

  const std::vector<std::string>& header() const override { return header_; }

  bool next(Row& row) override {
    Json object;
    while (read(object)) {
      row.number = line_;
      row.cells.assign(header_.size(), {});
      bool any = false;
      for (const auto& [key, value] : object.items()) {
        auto& cell = row.cells[column_of_.at(key)];
        if (value.is_string()) {
          cell = value.get_ref<const std::string&>();
        } else if (!value.is_null()) {
          cell = write_json(value);
        }
        any = any || !cell.empty();
      }
      if (any) return true;
    }
    return false;
  }

  std::string description() const override { return "JSON lines"; }
  double share_read() const override { return text_.empty() ? 1 : static_cast<double>(at_) / static_cast<double>(text_.size()); }

 private:
  bool read(Json& object) {
    while (at_ < text_.size()) {
      const auto end = std::min(text_.find('\n', at_), text_.size());
      const auto line = text_.substr(at_, end - at_);
      at_ = end + 1;
      ++line_;
      if (line.find_first_not_of(" \t\r") == line.npos) continue;
      if (static_cast<std::int64_t>(line.size()) > 4 * limits_.cell_bytes)
        throw RowError(line_, {}, "{}: line {} is longer than {} bytes", path_.string(), line_, 4 * limits_.cell_bytes);
      const std::vector<std::string> cells{std::string(line.substr(0, 2000))};
      try {
        object = parse_json(line, fmt::format("{}: line {}", path_.string(), line_));
      } catch (const Error& error) {
        throw RowError(line_, cells, "{}", error.what());
      }
      if (!object.is_object())
        throw RowError(line_, cells, "{}: line {} holds a JSON {}; wanted one object a line", path_.string(), line_, object.type_name());
      return true;
    }
    return false;
  }

  TableLimits limits_;
  MappedFile file_;
  std::string converted_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::int64_t line_ = 0;
  std::vector<std::string> header_;
  std::unordered_map<std::string, std::size_t> column_of_;
};

}  // namespace

std::unique_ptr<TableReader> open_jsonl(const std::filesystem::path& path, const TableOptions& options) {
  return std::make_unique<JsonLinesReader>(path, options);
}

}  // namespace deskhand
