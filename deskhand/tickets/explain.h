// What prepare would make of the files, before it does: which column is which field, how full, and three tickets before and after.
#pragma once
#include <string>
#include <vector>

#include "deskhand/tickets/guess.h"
#include "deskhand/tickets/prepare.h"

namespace deskhand {

struct ExplainedTicket {
  std::string id;
  std::int64_t row = 0;
  struct Field {
    std::string name, before, after;  // as exported, as stored; long texts are shortened
  };
  std::vector<Field> fields;
};

struct Explanation {
  struct File {
    std::string file, description;
    std::int64_t rows = 0;               // looked at
    std::vector<GuessedColumn> columns;  // `field` as the settings have it, `why` as it would be guessed
  };
  std::vector<File> files;
  std::string fault;                     // why prepare would refuse the files as the settings stand; empty if it would not
  std::vector<std::string> differences;  // "category: guessed \"Kategorie\", set \"\""
  std::vector<ExplainedTicket> tickets;
  Guess guess;

  std::string text() const;
  std::string json() const;
};

// Looks at the first ticket file and the first history file.
Explanation explain(const PrepareSettings& settings);

}  // namespace deskhand
