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

// Reads a date from left to right; every reader leaves the place alone when it does not find what it looks for.
class DateScanner {
 public:
  explicit DateScanner(std::string_view text) : text_(text) {}

  bool done() const { return at_ >= text_.size(); }
  std::size_t place() const { return at_; }
  void go_back(std::size_t place) { at_ = place; }

  bool take(std::string_view any) {
    if (done() || any.find(text_[at_]) == any.npos) return false;
    ++at_;
    return true;
  }
  void skip(std::string_view any) {
    while (take(any)) {}
  }
  // A number of `least` to `most` digits that is not followed by another digit.
  bool number(int& value, std::size_t least, std::size_t most) {
    std::size_t end = at_;
    while (end < text_.size() && text_[end] >= '0' && text_[end] <= '9') ++end;
    if (end - at_ < least || end - at_ > most) return false;
    std::from_chars(text_.data() + at_, text_.data() + end, value);
    digits_ = end - at_;
    at_ = end;
    return true;
  }
  std::size_t digits() const { return digits_; }  // of the last number
  std::string word() {
    const auto begin = at_;
    while (!done() && (static_cast<unsigned char>(text_[at_]) | 0x20) >= 'a' && (static_cast<unsigned char>(text_[at_]) | 0x20) <= 'z')
      ++at_;
    return lower(text_.substr(begin, at_ - begin));
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0, digits_ = 0;
};

int month_of(std::string_view word) {
  constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"};
  if (word.size() < 3) return 0;
  for (std::size_t i = 0; i < kMonths.size(); ++i)
    if (word.starts_with(kMonths[i])) return static_cast<int>(i) + 1;
  return 0;
}

bool read_calendar(DateScanner& scan, DateOrder order, int& year, int& month, int& day) {
  const auto begin = scan.place();
  if (scan.number(year, 4, 4) && scan.take("-/.") && scan.number(month, 1, 2) && scan.take("-/.") && scan.number(day, 1, 2)) return true;
  scan.go_back(begin);
  int packed = 0;
  if (scan.number(packed, 8, 8)) {
    year = packed / 10000, month = packed / 100 % 100, day = packed % 100;
    return true;
  }
  bool month_is_word = false;
  if (scan.number(day, 1, 2)) {
    scan.skip("-/. ");
    if (!scan.number(month, 1, 2)) {
      month = month_of(scan.word());
      month_is_word = true;
    }
  } else {
    month = month_of(scan.word());
    month_is_word = true;
    scan.skip(". ");
    if (!scan.number(day, 1, 2)) return false;
  }
  scan.skip("-/., ");
  if (!scan.number(year, 2, 4) || scan.digits() == 3) return false;
  if (scan.digits() == 2) year += year < 69 ? 2000 : 1900;  // as POSIX strptime
  if (!month_is_word && order == DateOrder::kMonthFirst) std::swap(day, month);
  if (!month_is_word && month > 12 && day <= 12) std::swap(day, month);
  return true;
}

// Seconds after midnight; false if there is something that is no time.
bool read_clock(DateScanner& scan, int& seconds) {
  int hour = 0, minute = 0, second = 0, fraction = 0;
  if (!scan.number(hour, 1, 2) || !scan.take(":") || !scan.number(minute, 2, 2)) return false;
  if (scan.take(":") && !scan.number(second, 2, 2)) return false;
  if (scan.take(".") && !scan.number(fraction, 1, 9)) return false;
  scan.skip(" ");
  const auto before = scan.place();
  const auto half = scan.word();
  if (half == "am" || half == "pm") {
    if (hour < 1 || hour > 12) return false;
    hour = hour % 12 + (half == "pm" ? 12 : 0);
  } else {
    scan.go_back(before);
  }
  if (hour > 23 || minute > 59 || second > 60) return false;
  seconds = hour * 3600 + minute * 60 + std::min(second, 59);
  return true;
}

bool read_offset(DateScanner& scan, int& seconds) {
  const auto before = scan.place();
  const auto word = scan.word();
  if (word == "z" || word == "utc" || word == "gmt") return true;
  scan.go_back(before);
  const bool west = scan.take("-");
  if (!west && !scan.take("+")) return false;
  int hours = 0, minutes = 0;
  if (scan.number(hours, 4, 4)) {
    minutes = hours % 100, hours /= 100;
  } else if (!scan.number(hours, 2, 2) || (scan.take(":") && !scan.number(minutes, 2, 2))) {
    return false;
  }
  if (hours > 15 || minutes > 59) return false;
  seconds = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
  return true;
}

std::string text_of(const Json& object, const std::string& key) {
  if (key.empty()) return {};
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  return found->is_string() ? found->get<std::string>() : write_json(*found);
}

}  // namespace

std::optional<std::string> read_date(std::string_view text, DateOrder order) {
  DateScanner scan(trim(text));
  const auto begin = scan.place();
  const auto weekday = scan.word();
  if (weekday.empty() || month_of(weekday)) {
    scan.go_back(begin);
  } else {
    scan.skip("., ");
  }
  int year = 0, month = 0, day = 0;
  if (!read_calendar(scan, order, year, month, day)) return std::nullopt;
  const std::chrono::year_month_day calendar{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                             std::chrono::day(static_cast<unsigned>(day))};
  if (!calendar.ok() || year < 1) return std::nullopt;
  if (scan.done()) return fmt::format("{:04}-{:02}-{:02}", year, month, day);

  if (!scan.take("T ,")) return std::nullopt;
  scan.skip(" ,");
  int clock = 0, offset = 0;
  if (!read_clock(scan, clock)) return std::nullopt;
  scan.skip(" ");
  if (!scan.done() && !read_offset(scan, offset)) return std::nullopt;
  if (!scan.done()) return std::nullopt;
  const auto moment = std::chrono::sys_days(calendar) + std::chrono::seconds(clock - offset);
  const auto midnight = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day utc(midnight);
  const auto rest = (moment - midnight).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(utc.year()), static_cast<unsigned>(utc.month()),
                     static_cast<unsigned>(utc.day()), rest / 3600, rest / 60 % 60, rest % 60);
}

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

RowMapper::RowMapper(const ColumnMapping& mapping, TableRole role, const TableReader& table)
    : mapping_(mapping),
      file_(table.sheet().empty() ? table.path().string() : fmt::format("{}: sheet \"{}\"", table.path().string(), table.sheet())),
      stem_(table.path().stem().string()) {
  const auto& header = table.header();
  check_mapping(mapping_, role, header, file_);
  for (const auto& field : fields_of(mapping_, role)) {
    if (field.column->empty()) continue;
    const auto at = std::find_if(header.begin(), header.end(), [&](const auto& name) { return lower(name) == lower(*field.column); });
    positions_[field.name] = static_cast<int>(at - header.begin());
  }
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
  auto date = read_date(text, mapping_.date_order);
  if (!date) ++unread_dates_;
  return date.value_or("");
}

Ticket RowMapper::ticket(const Row& row) {
  Ticket ticket;
  ticket.id = mapping_.tickets.id.empty() ? fmt::format("{}:{}", stem_, row.number) : std::string(trim(cell(row, "id")));
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
            file_, row.number, mapping_.tickets.urgency, urgency.substr(0, 60), kMinUrgency, kMaxUrgency, urgency.substr(0, 60));
      }
      ticket.urgency = static_cast<int>(value);
    } else {
      const auto found = mapping_.urgency_labels.find(lower(urgency));
      if (found == mapping_.urgency_labels.end()) {
        throw RowError(
            row.number, row.cells,
            "{}: row {}, column \"{}\": the urgency \"{}\" is not in the mapping, which knows {}; write [mapping.urgency] \"{}\" = "
            "1 .. 5 into desk.toml",
            file_, row.number, mapping_.tickets.urgency, urgency.substr(0, 60), known_labels(mapping_.urgency_labels),
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
            file_, row.number, mapping_.tickets.category, category.substr(0, 60), known_labels(mapping_.category_labels),
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
          .ticket_id = std::string(trim(cell(row, "ticket_id"))),
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
  const auto where = fmt::format("{}: row {}, column \"{}\"", file_, row.number, mapping_.activities);
  Json list;
  try {
    list = parse_json(text, where);
  } catch (const Error& error) {
    throw RowError(row.number, row.cells, "{}", error.what());
  }
  if (!list.is_array()) throw RowError(row.number, row.cells, "{}: holds a JSON {}; wanted an array of objects", where, list.type_name());
  for (const auto& object : list) {
    if (!object.is_object())
      throw RowError(row.number, row.cells, "{}: holds a JSON {} among its activities; wanted objects", where, object.type_name());
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
