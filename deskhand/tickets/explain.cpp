#include "deskhand/tickets/explain.h"

#include <algorithm>
#include <map>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/tickets/history.h"

namespace deskhand {
namespace {

std::string shortened(const std::string& text, std::size_t most) {
  auto line = one_line(text);
  if (line.size() <= most) return line;
  while (most > 0 && (static_cast<unsigned char>(line[most]) & 0xC0) == 0x80) --most;  // no half letter
  return line.substr(0, most) + " ...";
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return text;
}

Explanation::File file_with(const std::filesystem::path& path, const std::vector<GuessedColumn>& guessed, std::int64_t rows,
                            const std::map<std::string, std::string>& field_of) {
  Explanation::File file{.file = path.string(), .rows = rows, .columns = guessed};
  for (auto& column : file.columns) {
    const auto found = field_of.find(lower(column.column));
    column.field = found == field_of.end() ? std::string() : found->second;
  }
  return file;
}

std::map<std::string, std::string> fields_by_column(const ColumnMapping& mapping, TableRole role) {
  std::map<std::string, std::string> fields;
  for (const auto& [field, column] : mapped_columns(mapping, role)) fields[lower(column)] = field;
  return fields;
}

class Explainer {
 public:
  explicit Explainer(const PrepareSettings& settings) : settings_(settings), mapping_(settings.mapping) {}

  Explanation run() {
    const auto& tickets = settings_.ticket_files.front();
    const auto history = settings_.history_files.empty() ? std::filesystem::path() : settings_.history_files.front();
    told_.guess = guess_mapping(
        tickets, history, {.ticket_sheet = settings_.ticket_sheet, .history_sheet = settings_.history_sheet, .table = settings_.table});
    if (told_.guess.is_preset)  // the columns' contents are wanted all the same
      columns_ = guess_mapping(
          tickets, history,
          {.presets = false, .ticket_sheet = settings_.ticket_sheet, .history_sheet = settings_.history_sheet, .table = settings_.table});
    const auto& seen = told_.guess.is_preset ? columns_ : told_.guess;
    told_.files.push_back(file_with(tickets, seen.tickets, seen.ticket_rows, fields_by_column(mapping_, TableRole::kTickets)));
    if (!seen.history.empty())
      told_.files.push_back(
          file_with(history.empty() ? std::filesystem::path("\"" + seen.mapping.activities + "\" of the tickets") : history, seen.history,
                    seen.history_rows, fields_by_column(mapping_, TableRole::kHistory)));
    compare();
    try {
      take_three(tickets, history);
    } catch (const Error& error) {
      told_.fault = error.what();
      told_.tickets.clear();
    }
    return std::move(told_);
  }

 private:
  void compare() {
    for (const auto role : {TableRole::kTickets, TableRole::kHistory}) {
      const auto guessed = mapped_columns(told_.guess.mapping, role), set = mapped_columns(mapping_, role);
      const auto column_in = [](const auto& list, const std::string& field) {
        const auto found = std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.first == field; });
        return found == list.end() ? std::string() : found->second;
      };
      const auto* table = role == TableRole::kTickets ? "" : "history ";
      for (const auto& [field, column] : guessed)
        if (lower(column_in(set, field)) != lower(column))
          told_.differences.push_back(fmt::format("{}{}: guessed \"{}\", set \"{}\"", table, field, column, column_in(set, field)));
    }
  }

  std::unique_ptr<TableReader> open(const std::filesystem::path& path, const std::string& sheet, TableRole role) {
    auto options = settings_.table;
    options.sheet = sheet;
    for (const auto& [field, column] : mapped_columns(mapping_, role)) options.columns.push_back(column);
    return open_table(path, options);
  }

  // The first, the middle and the last of the first rows.
  void take_three(const std::filesystem::path& tickets, const std::filesystem::path& history) {
    constexpr std::size_t kLook = 500;
    constexpr std::int64_t kLookHistory = 100000;
    const auto table = open(tickets, settings_.ticket_sheet, TableRole::kTickets);
    RowMapper mapper(mapping_, TableRole::kTickets, *table);
    told_.files.front().description = table->description();
    std::vector<Row> rows;
    for (Row row; rows.size() < kLook;) {
      try {
        if (!table->next(row)) break;
      } catch (const RowError&) {
        continue;
      }
      rows.push_back(row);
    }
    std::vector<std::size_t> chosen;
    for (const auto place : {std::size_t{0}, rows.size() / 2, rows.size() - 1})
      if (place < rows.size() && (chosen.empty() || chosen.back() != place)) chosen.push_back(place);
    std::vector<Ticket> raw;
    for (const auto place : chosen) raw.push_back(mapper.ticket(rows[place]));
    if (!history.empty()) {
      const auto steps = open(history, settings_.history_sheet, TableRole::kHistory);
      if (told_.files.size() > 1) told_.files[1].description = steps->description();
      RowMapper step_mapper(mapping_, TableRole::kHistory, *steps);
      std::int64_t looked = 0;
      for (Row row; looked < kLookHistory; ++looked) {
        try {
          if (!steps->next(row)) break;
        } catch (const RowError&) {
          continue;
        }
        auto activity = step_mapper.activity(row);
        for (auto& ticket : raw)
          if (ticket.id == activity.ticket_id) ticket.activities.push_back(activity);
      }
    }
    for (std::size_t i = 0; i < raw.size(); ++i) show(raw[i], rows[chosen[i]]);
  }

  void show(Ticket ticket, const Row& row) {
    Cleaner cleaner(settings_.clean);
    const auto raw = ticket;
    sort_history(ticket.activities);
    std::string before_query;
    if (!ticket.activities.empty()) before_query = ticket.activities.front().text;
    cleaner.begin_ticket();  // in prepare's own order
    for (const auto* text : {&ticket.subject, &ticket.problem, &ticket.solution, &ticket.result}) cleaner.learn(*text);
    for (const auto& activity : ticket.activities) cleaner.learn(activity.user), cleaner.learn(activity.text);
    ticket.problem.clear();
    ticket.solution.clear();
    join_history(ticket, mapping_, cleaner);
    ticket.problem = cleaner.clean_part(raw.problem);
    ticket.solution = cleaner.clean_part(raw.solution);
    if (ticket.query.empty()) ticket.query = ticket.problem;
    if (ticket.resolution.empty()) ticket.resolution = ticket.solution;
    ticket.subject = one_line(cleaner.redact(raw.subject));
    ExplainedTicket told{.id = ticket.id, .row = row.number};
    constexpr std::size_t kMost = 300;
    const auto add = [&](const char* name, const std::string& before, const std::string& after) {
      if (!before.empty() || !after.empty()) told.fields.push_back({name, shortened(before, kMost), shortened(after, kMost)});
    };
    add("subject", raw.subject, ticket.subject);
    add("query", before_query.empty() ? raw.problem : before_query, ticket.query);
    add("urgency", "", ticket.urgency ? std::to_string(ticket.urgency) : "");
    add("category", "", ticket.category);
    add("received", "", local_date(ticket.received));
    add("solution", raw.solution, ticket.solution);
    add("resolution", "", ticket.resolution);
    told_.tickets.push_back(std::move(told));
  }

  const PrepareSettings& settings_;
  const ColumnMapping& mapping_;
  Explanation told_;
  Guess columns_;
};

}  // namespace

Explanation explain(const PrepareSettings& settings) {
  if (settings.ticket_files.empty()) throw Error(ExitCode::kUsage, "import.tickets in desk.toml names no file");
  return Explainer(settings).run();
}

std::string Explanation::text() const {
  std::string out;
  for (const auto& file : files) {
    out += fmt::format("{}{}; {} rows looked at\n", file.file, file.description.empty() ? "" : ": " + file.description, file.rows);
    out += fmt::format("  {:<11} {:<24} {:>7} {:>9}  {}\n", "field", "column", "filled", "different", "example");
    for (const auto& column : file.columns) {
      const auto share = file.rows ? 100.0 * static_cast<double>(column.filled) / static_cast<double>(file.rows) : 0;
      out += fmt::format("  {:<11} {:<24} {:>5.0f} % {:>9}  {}{}\n", column.field.empty() ? "-" : column.field, "\"" + column.column + "\"",
                         share, column.distinct >= kMostDistinct ? fmt::format(">{}", kMostDistinct) : std::to_string(column.distinct),
                         shortened(column.example, 40), column.is_closing ? "  [written at closing: never part of a problem]" : "");
    }
  }
  for (const auto& note : guess.notes) out += note + "\n";
  for (const auto& difference : differences) out += difference + "\n";
  if (!differences.empty()) out += "deskhand prepare --explain --write puts the guess into desk.toml\n";
  if (!fault.empty()) out += "as desk.toml stands, prepare would end with: " + fault + "\n";
  for (const auto& ticket : tickets) {
    out += fmt::format("\nticket {} (row {})\n", ticket.id, ticket.row);
    for (const auto& field : ticket.fields) {
      if (!field.before.empty() && field.before != field.after) out += fmt::format("  {:<10} before: {}\n", field.name, field.before);
      const bool changed = !field.before.empty() && field.before != field.after;
      out += fmt::format("  {:<10} {}{}\n", changed ? "" : field.name, changed ? "after:  " : "", field.after);
    }
  }
  return out;
}

std::string Explanation::json() const {
  Json object;
  object["files"] = Json::array();
  for (const auto& file : files) {
    Json columns = Json::array();
    for (const auto& column : file.columns)
      columns.push_back({{"column", column.column},
                         {"field", column.field},
                         {"filled", column.filled},
                         {"different", column.distinct},
                         {"example", column.example},
                         {"why", column.why},
                         {"written_at_closing", column.is_closing}});
    object["files"].push_back({{"file", file.file}, {"kind", file.description}, {"rows", file.rows}, {"columns", columns}});
  }
  object["notes"] = guess.notes;
  object["differences"] = differences;
  object["fault"] = fault;
  const auto lines = mapping_lines(guess.mapping, guess.is_preset);
  object["guessed"] = lines.keys + lines.tables;
  object["tickets"] = Json::array();
  for (const auto& ticket : tickets) {
    Json fields = Json::array();
    for (const auto& field : ticket.fields) fields.push_back({{"name", field.name}, {"before", field.before}, {"after", field.after}});
    object["tickets"].push_back({{"id", ticket.id}, {"row", ticket.row}, {"fields", fields}});
  }
  return write_json(object);
}

}  // namespace deskhand
