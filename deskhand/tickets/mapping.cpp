#include "deskhand/tickets/mapping.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <utility>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"

namespace deskhand {
namespace {

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string lower(std::string_view text) {  // ASCII: labels and column names of other scripts compare as written
  std::string out(trim(text));
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

// Outside of these a date is a program's way to write "none" or "never": 0001-01-01, 1900-01-01, 1970-01-01, 9999-12-31.
constexpr std::string_view kFirstDate = "1980-01-02", kEndOfDates = "2200";

struct Field {
  const char* name;
  const std::string* column;
};

std::vector<Field> fields_of(const ColumnMapping& mapping, TableRole role) {
  const auto& t = mapping.tickets;
  const auto& h = mapping.history;
  if (role == TableRole::kHistory) {
    return {{"ticket_id", &h.ticket_id}, {"id", &h.id},     {"user", &h.user},           {"short_text", &h.short_text},
            {"created", &h.created},     {"text", &h.text}, {"type_code", &h.type_code}, {"type", &h.type}};
  }
  return {{"id", &t.id},
          {"subject", &t.subject},
          {"problem", &t.problem},
          {"urgency", &t.urgency},
          {"category", &t.category},
          {"area", &t.area},
          {"issue", &t.issue},
          {"solution", &t.solution},
          {"result", &t.result},
          {"account_id", &t.account_id},
          {"account", &t.account},
          {"received", &t.received},
          {"completed", &t.completed},
          {"activities", &mapping.activities}};
}

std::string quoted_list(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 40;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kMost); ++i) list += (i ? ", \"" : "\"") + names[i] + "\"";
  if (names.size() > kMost) list += fmt::format(" and {} more", names.size() - kMost);
  return list;
}

template <class Map>
std::string known_labels(const Map& map) {
  std::vector<std::string> names;
  for (const auto& [label, value] : map) names.push_back(label);
  return quoted_list(names);
}

std::string text_of(const Json& object, const std::string& key) {
  if (key.empty()) return {};
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  return found->is_string() ? found->get<std::string>() : write_json(*found);
}

}  // namespace

std::size_t edit_distance(std::string_view left, std::string_view right) {
  const auto a = lower(left), b = lower(right);
  std::vector<std::size_t> before_last, last(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      current[j] = std::min({last[j] + 1, current[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) current[j] = std::min(current[j], before_last[j - 2] + 1);
    }
    before_last = last;
    std::swap(last, current);
  }
  return last[b.size()];
}

std::vector<std::string> mapping_preset_names() {
  return {"seed", "mendeley", "thunderbird", "tobi", "mail", "own"};
}

ColumnMapping mapping_preset(std::string_view name) {
  ColumnMapping mapping;
  mapping.name = name;
  if (name == "seed") {
    mapping.tickets = {.id = "TICKETID",
                       .subject = "SUBJECT",
                       .problem = "PROBLEM",
                       .urgency = "URGENCYCODE",
                       .category = "CATEGORY",
                       .area = "AREA",
                       .issue = "ISSUE",
                       .solution = "SOLUTION",
                       .result = "RESULTIONSUMMARY",
                       .account_id = "ACCOUNTID",
                       .account = "ACCOUNT",
                       .received = "RECEIVEDDATE",
                       .completed = "COMPLETEDDATE"};
    mapping.history = {.ticket_id = "TICKETID",
                       .id = "TICKETACTIVITYID",
                       .user = "USERID",
                       .short_text = "SHORTDESC",
                       .created = "CREATEDATE",
                       .text = "ACTIVITYDESC",
                       .type_code = "ACTIVITYTYPECODE",
                       .type = "ACTIVITYTYPE"};
    return mapping;
  }
  if (name ==
      "mendeley") {  // resolved_at, processing_steps, resolution_code, technician_problem and investigation are known at closing alone
    mapping.tickets = {.id = "ticket_id",
                       .problem = "description",
                       .urgency = "priority",
                       .category = "type",
                       .solution = "resolution_text",
                       .received = "created_at",
                       .completed = "resolved_at"};
    mapping.history = {.id = "seq", .user = "author", .short_text = "role", .created = "created", .text = "text", .type = "kind"};
    mapping.activities = "activities";
    mapping.urgency_labels = {{"blocker", 1}, {"high", 2}, {"medium", 3}, {"low", 4}};
    mapping.query_type = "description";
    mapping.ignored_activity_types = {"closing_template"};  // stands second in the history, but holds the resolution
    mapping.written_at_closing = {"resolved_at",        "status",       "resolution_code", "processing_steps", "resolution_text",
                                  "technician_problem", "investigation"};
    return mapping;
  }
  if (name == "thunderbird") {
    mapping.tickets = {.id = "ticket_id",
                       .subject = "title",
                       .problem = "description_html",
                       .category = "category",
                       .solution = "resolution_html",
                       .received = "created_at"};
    mapping.history = {.id = "id", .user = "author", .short_text = "role", .created = "created", .text = "html", .type = "role"};
    mapping.activities = "activities";
    mapping.first_activity_is_query = false;
    return mapping;
  }
  if (name == "tobi") {
    mapping.tickets = {
        .subject = "subject", .problem = "body", .urgency = "priority", .category = "queue", .issue = "type", .solution = "answer"};
    mapping.urgency_labels = {{"high", 2}, {"medium", 3}, {"low", 4}};
    return mapping;
  }
  if (name == "mail") {
    mapping.tickets = {.id = "id", .subject = "subject", .problem = "text", .account = "from", .received = "date"};
    mapping.history = {.id = "id", .user = "from", .short_text = "subject", .created = "date", .text = "text"};
    mapping.activities = "messages";
    return mapping;
  }
  if (name == "own") return mapping;
  throw Error(ExitCode::kUsage, "no mapping preset \"{}\"; there are {}", name, quoted_list(mapping_preset_names()));
}

std::vector<std::pair<std::string, std::string>> mapped_columns(const ColumnMapping& mapping, TableRole role) {
  std::vector<std::pair<std::string, std::string>> columns;
  for (const auto& field : fields_of(mapping, role))
    if (!field.column->empty()) columns.emplace_back(field.name, *field.column);
  return columns;
}

void check_mapping(const ColumnMapping& mapping, TableRole role, const std::vector<std::string>& header, const std::string& file) {
  const auto* table = role == TableRole::kTickets ? "tickets" : "history";
  if (role == TableRole::kTickets && mapping.tickets.problem.empty() && mapping.tickets.subject.empty())
    throw Error(ExitCode::kUsage,
                "the mapping names no column for the problem; write [mapping.tickets] problem = \"COLUMN\" into desk.toml");
  if (role == TableRole::kHistory && (mapping.history.ticket_id.empty() || mapping.history.text.empty()))
    throw Error(ExitCode::kUsage,
                "the mapping of the history wants the columns ticket_id and text; write them under [mapping.history] in desk.toml");
  for (const auto& field : fields_of(mapping, role)) {
    const std::string_view name = field.name;
    if (role == TableRole::kHistory || field.column->empty() || name == "solution" || name == "result" || name == "completed") continue;
    for (const auto& column : mapping.written_at_closing) {
      if (lower(column) != lower(*field.column)) continue;
      throw Error(
          ExitCode::kUsage,
          "{}: the column \"{}\" is written when a ticket is closed, so it can't be its {}: triage would be shown what only the answer "
          "knows; map it to solution, result or completed, or take it out of import.written_at_closing in desk.toml",
          file, *field.column, field.name);
    }
  }
  for (const auto& field : fields_of(mapping, role)) {
    if (field.column->empty()) continue;
    const auto wanted = lower(*field.column);
    const auto matches = std::count_if(header.begin(), header.end(), [&](const auto& name) { return lower(name) == wanted; });
    if (matches == 1) continue;
    if (matches > 1)
      throw Error(ExitCode::kBadInput, "{}: {} columns are named \"{}\", which the mapping reads as {}; rename all but one", file, matches,
                  *field.column, field.name);
    std::string_view nearest;
    for (const auto& name : header)
      if (!name.empty() && (nearest.empty() || edit_distance(name, wanted) < edit_distance(nearest, wanted))) nearest = name;
    throw Error(ExitCode::kBadInput,
                "{}: no column \"{}\" (wanted as {}); found {}; the nearest is \"{}\": if that is it, write [mapping.{}] {} = \"{}\" into "
                "desk.toml, or \"\" if the "
                "export has no such column",
                file, *field.column, field.name, quoted_list(header), nearest, table, field.name, nearest);
  }
}

std::string field_of(const ColumnMapping& mapping, TableRole role, std::string_view column) {
  for (const Field& field : fields_of(mapping, role))
    if (!field.column->empty() && lower(*field.column) == lower(column)) return field.name;
  return "";
}

std::string bare_id(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; })) return std::string(text);
  std::string id;
  bool gap = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto c = static_cast<unsigned char>(text[at]);
    const std::size_t length = std::min<std::size_t>(c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4, text.size() - at);
    const auto one = text.substr(at, length);
    at += length;
    if (c == ' ' || (c >= '\t' && c <= '\r') || one == "\u00A0" || one == "\u3000" || one == "\u202F" || one == "\u205F" ||
        (one >= "\u2000" && one <= "\u200A") || one == "\u2028" || one == "\u2029") {
      gap = !id.empty();
    } else if (c >= 0x20 && c != 0x7F && one != "\u00AD" && one != "\u2060" && one != "\uFEFF" && !(one >= "\u200B" && one <= "\u200F")) {
      if (gap) id += ' ';
      gap = false;
      id += one;
    }
  }
  return id;
}

RowMapper::RowMapper(const ColumnMapping& mapping, TableRole role, const TableReader& table)
    : mapping_(mapping), role_(role), table_(table), stem_(table.path().stem().string()) {
  const auto& header = table.header();
  check_mapping(mapping_, role, header, where());
  for (const auto& field : fields_of(mapping_, role)) {
    if (field.column->empty()) continue;
    const auto at = std::find_if(header.begin(), header.end(), [&](const auto& name) { return lower(name) == lower(*field.column); });
    positions_[field.name] = static_cast<int>(at - header.begin());
  }
}

std::string RowMapper::where() const {
  return table_.sheet().empty() ? table_.path().string() : fmt::format("{}: sheet \"{}\"", table_.path().string(), table_.sheet());
}

std::string RowMapper::id_of_place(const Row& row) const {
  return row.sheet.empty() ? fmt::format("{}:{}", stem_, row.number) : fmt::format("{}:{}:{}", stem_, row.sheet, row.number);
}

std::string RowMapper::id_in(const Row& row, const char* field, const std::string& column) const {
  auto id = bare_id(cell(row, field));
  if (id.size() > kMostIdBytes)
    throw RowError(row.number, row.cells, "{}: row {}, column \"{}\": an id of {} bytes; wanted {} at most", where(), row.number, column,
                   id.size(), kMostIdBytes);
  return id;
}

std::string RowMapper::ticket_id(std::span<const std::string> cells) const {
  const auto at = positions_.find(role_ == TableRole::kTickets ? "id" : "ticket_id");
  const bool is_one_line = cells.size() < 2 && table_.header().size() > 1;  // of JSON, not parted into cells
  if (is_one_line || at == positions_.end() || static_cast<std::size_t>(at->second) >= cells.size()) return {};
  auto id = bare_id(cells[static_cast<std::size_t>(at->second)]);
  return id.size() > kMostIdBytes ? std::string() : id;
}

const std::string& RowMapper::cell(const Row& row, const char* field) const {
  static const std::string kNone;
  const auto at = positions_.find(field);
  return at == positions_.end() || static_cast<std::size_t>(at->second) >= row.cells.size()
             ? kNone
             : row.cells[static_cast<std::size_t>(at->second)];
}

std::string RowMapper::date(const std::string& text) {
  if (trim(text).empty()) return {};
  const auto date = read_date(text, mapping_.date_order);
  if (date && *date >= kFirstDate && *date < kEndOfDates) return *date;
  ++unread_dates_;
  return {};
}

Ticket RowMapper::ticket(const Row& row) {
  Ticket ticket;
  ticket.id = mapping_.tickets.id.empty() ? id_of_place(row) : id_in(row, "id", mapping_.tickets.id);
  ticket.subject = cell(row, "subject");
  ticket.problem = cell(row, "problem");
  ticket.area = trim(cell(row, "area"));
  ticket.issue = trim(cell(row, "issue"));
  ticket.solution = cell(row, "solution");
  ticket.result = cell(row, "result");
  ticket.account_id = trim(cell(row, "account_id"));
  ticket.account = trim(cell(row, "account"));
  ticket.received = date(cell(row, "received"));
  ticket.completed = date(cell(row, "completed"));

  if (const auto urgency = trim(cell(row, "urgency")); !urgency.empty()) {
    if (mapping_.urgency_labels.empty()) {
      double value = 0;
      const auto [end, fault] = std::from_chars(urgency.data(), urgency.data() + urgency.size(), value);
      const bool whole = fault == std::errc() && end == urgency.data() + urgency.size() && value >= kMinUrgency && value <= kMaxUrgency &&
                         value == static_cast<int>(value);
      if (!whole) {
        throw RowError(
            row.number, row.cells,
            "{}: row {}, column \"{}\": \"{}\" is no urgency; wanted {} to {}, or labels such as [mapping.urgency] \"{}\" = 3 in desk.toml",
            where(), row.number, mapping_.tickets.urgency, urgency.substr(0, 60), kMinUrgency, kMaxUrgency, urgency.substr(0, 60));
      }
      ticket.urgency = static_cast<int>(value);
    } else {
      const auto found = mapping_.urgency_labels.find(lower(urgency));
      if (found == mapping_.urgency_labels.end()) {
        throw RowError(
            row.number, row.cells,
            "{}: row {}, column \"{}\": the urgency \"{}\" is not in the mapping, which knows {}; write [mapping.urgency] \"{}\" = "
            "1 .. 5 into desk.toml",
            where(), row.number, mapping_.tickets.urgency, urgency.substr(0, 60), known_labels(mapping_.urgency_labels),
            lower(urgency.substr(0, 60)));
      }
      ticket.urgency = found->second;
    }
  }
  if (const auto category = trim(cell(row, "category")); !category.empty()) {
    ticket.category = category;
    if (!mapping_.category_labels.empty()) {
      const auto found = mapping_.category_labels.find(lower(category));
      if (found == mapping_.category_labels.end()) {
        throw RowError(
            row.number, row.cells,
            "{}: row {}, column \"{}\": the category \"{}\" is not in the mapping, which knows {}; write [mapping.category] \"{}\" "
            "= \"NAME\" into desk.toml",
            where(), row.number, mapping_.tickets.category, category.substr(0, 60), known_labels(mapping_.category_labels),
            lower(category.substr(0, 60)));
      }
      ticket.category = found->second;
    }
  }
  if (const auto merged = mapping_.merged_categories.find(lower(ticket.category)); merged != mapping_.merged_categories.end())
    ticket.category = merged->second;
  if (const auto right = mapping_.category_of.find(ticket.id); right != mapping_.category_of.end()) ticket.category = right->second;
  if (const auto right = mapping_.urgency_of.find(ticket.id); right != mapping_.urgency_of.end()) ticket.urgency = right->second;
  if (!mapping_.activities.empty()) read_activities(row, ticket);
  return ticket;
}

bool RowMapper::is_excluded(const Ticket& ticket) const {
  return mapping_.excluded_tickets.contains(ticket.id) || mapping_.excluded_categories.contains(lower(ticket.category));
}

Activity RowMapper::activity(const Row& row) {
  return {.id = std::string(trim(cell(row, "id"))),
          .ticket_id = id_in(row, "ticket_id", mapping_.history.ticket_id),
          .user = std::string(trim(cell(row, "user"))),
          .short_text = std::string(trim(cell(row, "short_text"))),
          .created = date(cell(row, "created")),
          .text = cell(row, "text"),
          .type_code = std::string(trim(cell(row, "type_code"))),
          .type = std::string(trim(cell(row, "type")))};
}

void RowMapper::read_activities(const Row& row, Ticket& ticket) {
  const auto& text = cell(row, "activities");
  if (trim(text).empty()) return;
  const auto place = fmt::format("{}: row {}, column \"{}\"", where(), row.number, mapping_.activities);
  Json list;
  try {
    list = parse_json(text, place);
  } catch (const Error& error) {
    throw RowError(row.number, row.cells, "{}", error.what());
  }
  if (!list.is_array()) throw RowError(row.number, row.cells, "{}: holds a JSON {}; wanted an array of objects", place, list.type_name());
  for (const auto& object : list) {
    if (!object.is_object())
      throw RowError(row.number, row.cells, "{}: holds a JSON {} among its activities; wanted objects", place, object.type_name());
    const auto& keys = mapping_.history;
    ticket.activities.push_back({.id = text_of(object, keys.id),
                                 .ticket_id = ticket.id,
                                 .user = text_of(object, keys.user),
                                 .short_text = text_of(object, keys.short_text),
                                 .created = date(text_of(object, keys.created)),
                                 .text = text_of(object, keys.text),
                                 .type_code = text_of(object, keys.type_code),
                                 .type = text_of(object, keys.type)});
  }
}

}  // namespace deskhand
