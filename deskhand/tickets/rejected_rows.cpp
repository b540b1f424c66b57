#include "deskhand/tickets/rejected_rows.h"

#include <algorithm>
#include <vector>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

const std::vector<std::string> kColumns = {"file", "row", "ticket", "why", "cells"};
constexpr std::size_t kCellBytes = 2000, kRowBytes = 60000;  // written of each; the export has the rest

// At most `most` bytes, no character cut.
std::string_view start_of(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return text.substr(0, most);
}

bool is_of_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

bool names(std::string_view text, std::string_view id) {
  for (auto at = text.find(id); at != text.npos; at = text.find(id, at + 1)) {
    const auto end = at + id.size();
    if ((at == 0 || !is_of_word(text[at - 1])) && (end == text.size() || !is_of_word(text[end]))) return true;
  }
  return false;
}

std::string csv_row(std::vector<std::string> cells) {
  for (auto& cell : cells) cell = without_formula(cell);
  std::string line;
  append_csv_row(line, cells);
  return line;
}

}  // namespace

RejectedRows::RejectedRows(const std::filesystem::path& path, const RedactSettings& redact) : path_(path) {
  if (redact.any()) redactor_.emplace(redact);
}

void RejectedRows::put(const std::filesystem::path& file, const std::string& ticket_id, const RowError& error) {
  ++count_;
  if (path_.empty()) return;
  if (!out_) {
    out_ = std::make_unique<AtomicFile>(path_);
    out_->write(csv_row(kColumns));
  }
  std::vector<std::string> cells;
  std::size_t bytes = 0;
  for (const auto& cell : error.cells()) {
    if ((bytes += cells.emplace_back(start_of(cell, kCellBytes)).size()) > kRowBytes) break;
  }
  std::string why = error.what();
  if (redactor_) {
    redactor_->begin_ticket();
    for (const auto& cell : cells) redactor_->learn(cell);
    for (auto& cell : cells) cell = redactor_->redact(cell);
    why = redactor_->redact(why);  // it quotes cells
  }
  std::string all;
  for (std::size_t i = 0; i < cells.size() && all.size() < kRowBytes; ++i) all += (i ? " | " : "") + without_formula(cells[i]);
  out_->write(csv_row({file.string(), std::to_string(error.row()), ticket_id, why, std::string(start_of(all, kRowBytes))}));
}

void RejectedRows::commit() {
  if (out_) out_->commit();
}

std::map<std::string, std::int64_t> drop_rejected(const std::filesystem::path& path, std::span<const std::string> ticket_ids, bool dry) {
  std::map<std::string, std::int64_t> found;
  std::error_code fault;
  if (!std::filesystem::is_regular_file(path, fault)) return found;
  std::string kept = csv_row(kColumns);
  try {
    const auto table = open_table(path, {.delimiter = ',', .encoding = "UTF-8"});
    if (table->header() != kColumns) return found;
    for (Row row; table->next(row);) {
      const auto& ticket = row.cells[2];
      const auto id = std::find_if(ticket_ids.begin(), ticket_ids.end(), [&](const auto& one) {
        return ticket.empty() ? names(row.cells[4], one) || names(row.cells[3], one) : ticket == without_formula(one);
      });
      if (id == ticket_ids.end())
        append_csv_row(kept, row.cells);
      else
        ++found[*id];
    }
  } catch (const Error&) {
    return {};
  }
  if (!found.empty() && !dry) write_file_atomically(path, kept);
  return found;
}

}  // namespace deskhand
