// Which column is which field, guessed from the names and from what stands in the cells; shown before it is believed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "deskhand/tickets/mapping.h"
#include "deskhand/tickets/table.h"

namespace deskhand {

struct GuessedColumn {
  std::string column, field;              // field: "" where no field wants it
  std::string why;                        // "name; 100 % different"
  std::int64_t filled = 0, distinct = 0;  // of the rows looked at; distinct: at most kMostDistinct
  std::string example;                    // the first value, shortened
  bool is_closing = false;                // written when the ticket was closed: it can be no part of a problem
};
inline constexpr std::int64_t kMostDistinct = 2000;

struct Guess {
  ColumnMapping mapping;
  bool is_preset = false;                          // the columns are those of the preset mapping.name
  std::int64_t ticket_rows = 0, history_rows = 0;  // looked at
  std::vector<GuessedColumn> tickets, history;     // in the order of the columns; history: of its file or of the objects in activities
  std::vector<std::string> notes;                  // what was concluded, and what is doubtful
};

struct GuessOptions {
  std::int64_t rows = 5000;  // looked at of each file
  bool presets = true;       // a known export's columns are taken as such
  std::string ticket_sheet = {}, history_sheet = {};
  TableOptions table = {};
};

// `history` may be empty. Throws what open_table throws, and Error(kBadInput) if no column can be the problem.
Guess guess_mapping(const std::filesystem::path& tickets, const std::filesystem::path& history, const GuessOptions& options = {});

// The keys of desk.toml that say what was guessed, without "[import]" itself: first plain keys, then tables.
struct MappingLines {
  std::string keys;    // preset = "..." and so on
  std::string tables;  // [import.columns] ... [import.history_columns] ... [import.urgency_labels]
};
MappingLines mapping_lines(const ColumnMapping& mapping, bool is_preset);

// "1 - Critical", "Hoch", "P2", "blocker" as 1..5; 0: no such word.
int urgency_of_word(std::string_view word);

}  // namespace deskhand
