#include "deskhand/tickets/guess.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <system_error>
#include <unordered_map>
#include <unordered_set>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/tickets/column_fields.h"

namespace deskhand {
namespace {

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string lower(std::string_view text) {
  std::string out(trim(text));
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

// Letters and digits alone, so that "Ticket-ID", "ticket_id" and "TICKETID" are one; umlauts as they are written without.
std::string bare_name(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kFolds = {
      {{"ä", "ae"}, {"ö", "oe"}, {"ü", "ue"}, {"Ä", "ae"}, {"Ö", "oe"}, {"Ü", "ue"}, {"ß", "ss"}, {"é", "e"}, {"ó", "o"}}};
  std::string out;
  for (std::size_t i = 0; i < name.size();) {
    const auto fold = std::find_if(kFolds.begin(), kFolds.end(), [&](const auto& one) { return name.substr(i).starts_with(one.first); });
    if (fold != kFolds.end()) {
      out += fold->second;
      i += fold->first.size();
      continue;
    }
    const char c = name[i++];
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80) out += c;
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c | 0x20);
  }
  return out;
}

enum class Kind { kId, kKey, kLine, kText, kUrgency, kLabel, kDate, kJson };

struct Wanted {
  const char* field;
  Kind kind;
  std::string_view names;  // whole names, the best first, by spaces
};

// ERP, ServiceNow, Jira, Zendesk, Freshdesk, OTRS, GLPI, SAP and mailboxes, in English, German, French and Spanish.
constexpr Wanted kTicketFields[] = {
    {"id", Kind::kId,
     "ticketid id ticketnumber number issuekey key ticketno ticketnr caseid casenumber caseno incidentid incidentnumber requestid "
     "requestnumber "
     "incident sysid objectid objektid notification notifctn qmnum meldung meldungsnummer vorgang vorgangsnummer ticketnummer nummer "
     "auftragsnummer numero numerodeticket ticket reference ref"},
    {"subject", Kind::kLine,
     "subject title summary shortdescription qmtxt betreff titel kurzbeschreibung kurztext objet sujet asunto oggetto titulo titre topic "
     "headline"},
    {"problem", Kind::kText,
     "problem problemdescription description descriptionhtml body text message longdescription details beschreibung problembeschreibung "
     "langtext content question issuedescription customermessage anfrage symptom descripcion contenu texte mensaje"},
    {"urgency", Kind::kUrgency, "urgencycode urgency priority severity prio dringlichkeit prioritaet priorite urgence prioridad urgencia"},
    {"category", Kind::kLabel,
     "category queue categoryname kategorie classification categorie categoria component components assignmentgroup topic thema tickettype "
     "issuetype type group team"},
    {"area", Kind::kLabel,
     "area module service businessservice department product system bereich abteilung modul produit producto project"},
    {"issue", Kind::kLabel,
     "issue subcategory issuetype problemtype unterkategorie souscategorie subcategoria type tickettype requesttype"},
    {"solution", Kind::kText,
     "solution resolution resolutiontext resolutionhtml solutiontext closenotes closingnotes resolutionnotes answer loesung loesungstext "
     "fix "
     "response reply solucion reponse"},
    {"result", Kind::kLine,
     "resultionsummary resolutionsummary resultsummary result resolutioncode closecode closurecode ergebnis abschlusscode resolution"},
    {"account_id", Kind::kKey, "accountid customerid companyid organizationid organisationid requesterid callerid kundennummer clientid"},
    {"account", Kind::kKey,
     "account accountname customer customername company organization organisation requester caller kunde kundenname client cliente from"},
    {"received", Kind::kDate,
     "receiveddate received receivedat created createdat createddate creationdate createdon datecreated opened openedat openeddate "
     "opentime "
     "reported reporteddate erstellt erstelltam erstellungsdatum eingang eingangsdatum date datum datecreation fechacreacion submitted "
     "submittedat"},
    {"completed", Kind::kDate,
     "completeddate completed completedat resolvedat resolved resolveddate closedat closed closeddate closedon solvedat enddate erledigt "
     "erledigtam geschlossen geschlossenam abgeschlossen datecloture fechacierre"},
    {"activities", Kind::kJson, "activities messages comments history conversation conversations notes worknotes verlauf"},
};
constexpr Wanted kHistoryFields[] = {
    {"ticket_id", Kind::kKey,
     "ticketid ticketnumber ticket ticketno ticketnr issuekey caseid casenumber incidentid incidentnumber requestid parent parentid "
     "documentid "
     "elementid number vorgangsnummer ticketnummer taskid"},
    {"id", Kind::kId, "ticketactivityid activityid commentid messageid noteid journalid id seq sequence nr"},
    {"user", Kind::kKey, "userid user author username createdby agent from sender benutzer bearbeiter auteur autor syscreatedby"},
    {"short_text", Kind::kLine, "shortdesc shorttext shortdescription subject title betreff role"},
    {"created", Kind::kDate, "createdate created createdat createdon date datum timestamp syscreatedon time sentat erstellt erstelltam"},
    {"text", Kind::kText,
     "activitydesc text comment body html message value note notes content description comments inhalt kommentar texte"},
    {"type_code", Kind::kLabel, "activitytypecode typecode"},
    {"type", Kind::kLabel, "activitytype type kind element art channel role medium"},
};

// Words in the name of a column or of an activity's type that say: written when the ticket was closed.
constexpr std::string_view kClosingWords[] = {"resol",        "solut",
                                              "solv",         "clos",
                                              "complet",      "answer",
                                              "rootcause",    "investigat",
                                              "outcome",      "processingstep",
                                              "reopen",       "satisfaction",
                                              "rating",       "loesung",
                                              "erledig",      "abgeschlossen",
                                              "abschluss",    "geschlossen",
                                              "resultion",    "result",
                                              "finding",      "technicianproblem",
                                              "duration",     "slabreach",
                                              "timespent",    "handlingtime",
                                              "firstresponse"};

bool sounds_like_closing(std::string_view name) {
  const auto bare = bare_name(name);
  return std::any_of(std::begin(kClosingWords), std::end(kClosingWords), [&](auto word) { return bare.find(word) != bare.npos; });
}

// What the cells of a column look like.
struct Contents {
  std::string name;
  std::int64_t rows = 0, filled = 0, dates = 0, numbers = 0, small = 0, arrays = 0, spaced = 0, only_day_first = 0, only_month_first = 0;
  double bytes = 0;
  std::map<std::string, std::int64_t> values;  // at most kMostDistinct of them
  std::string example;

  double share(std::int64_t count) const { return filled ? static_cast<double>(count) / static_cast<double>(filled) : 0; }
  double mean_bytes() const { return filled ? bytes / static_cast<double>(filled) : 0; }
  double different() const {
    return filled ? static_cast<double>(values.size()) / static_cast<double>(std::min(filled, kMostDistinct)) : 0;
  }

  void see(std::string_view cell) {
    ++rows;
    cell = trim(cell);
    if (cell.empty()) return;
    ++filled;
    bytes += static_cast<double>(cell.size());
    if (example.empty()) example = cell.substr(0, 60);
    if (values.size() < static_cast<std::size_t>(kMostDistinct)) {
      ++values[std::string(cell.substr(0, 200))];
    } else if (const auto found = values.find(std::string(cell.substr(0, 200))); found != values.end()) {
      ++found->second;
    }
    spaced += cell.find(' ') != cell.npos;
    arrays += cell.starts_with('[') && cell.ends_with(']') && (cell.size() == 2 || cell.find('{') != cell.npos);
    double number = 0;
    const auto [end, fault] = std::from_chars(cell.data(), cell.data() + cell.size(), number);
    if (fault == std::errc() && end == cell.data() + cell.size()) {
      ++numbers;
      small += number >= kMinUrgency && number <= kMaxUrgency && number == std::floor(number);
    } else if (cell.size() <= 40 && cell.find_first_of("0123456789") != cell.npos) {
      dates += read_date(cell, DateOrder::kDayFirst).has_value();
      see_order(cell);
    }
  }

  // 14/03/2024 can only be day first, 03/14/2024 only month first.
  void see_order(std::string_view cell) {
    int first = 0, second = 0;
    const auto [end, fault] = std::from_chars(cell.data(), cell.data() + cell.size(), first);
    if (fault != std::errc() || end - cell.data() > 2 || end == cell.data() + cell.size() ||
        std::string_view("/.-").find(*end) == std::string_view::npos)
      return;
    const auto [end2, fault2] = std::from_chars(end + 1, cell.data() + cell.size(), second);
    if (fault2 != std::errc() || end2 - end > 3) return;
    only_day_first += first > 12 && first <= 31 && second >= 1 && second <= 12;
    only_month_first += second > 12 && second <= 31 && first >= 1 && first <= 12;
  }
};

// 0: it cannot be; else up to 1.
double fits(Kind kind, const Contents& c) {
  if (c.filled == 0) return 0;
  const double mean = c.mean_bytes();
  const bool is_date = c.share(c.dates) >= 0.7, is_list = c.share(c.arrays) >= 0.9;
  switch (kind) {
    case Kind::kId:
      if (is_date || is_list || mean > 80 || c.share(c.spaced) > 0.5 || c.filled * 10 < c.rows * 9 || c.different() < 0.5) return 0;
      return c.different();
    case Kind::kKey:
      return is_date || is_list || mean > 100 ? 0 : 0.5;
    case Kind::kLine:
      return is_date || is_list || mean > 300 ? 0 : c.share(c.numbers) > 0.9 ? 0.1 : 0.6;
    case Kind::kText:
      if (is_date || is_list || c.share(c.numbers) > 0.5 || mean < 8 || c.share(c.spaced) < 0.3) return 0;
      return std::min(1.0, 0.3 + mean / 300) * (c.different() < 0.02 && c.filled > 50 ? 0.3 : 1);
    case Kind::kUrgency: {
      if (c.values.size() > 12 || is_date) return 0;
      if (c.share(c.small) > 0.99) return 1;
      std::int64_t known = 0;
      for (const auto& [word, count] : c.values) known += urgency_of_word(word) ? count : 0;
      if (c.share(known) > 0.5) return 1;
      return c.share(c.numbers) > 0.99 && c.values.size() <= 5 ? 0.5 : 0;
    }
    case Kind::kLabel:
      if (is_date || is_list || mean > 100 || c.values.size() > 500 || (c.filled >= 20 && c.different() > 0.5)) return 0;
      return c.values.size() > 1 ? 0.6 : 0.2;
    case Kind::kDate:
      return is_date ? 1 : 0;
    case Kind::kJson:
      return is_list ? 1 : 0;
  }
  return 0;
}

double name_score(const Wanted& wanted, std::string_view column) {
  const auto bare = bare_name(column);
  double best = 0;
  int place = 0;
  for (std::size_t at = 0; at < wanted.names.size(); ++place) {
    const auto end = std::min(wanted.names.find(' ', at), wanted.names.size());
    const auto name = wanted.names.substr(at, end - at);
    at = end + 1;
    if (bare == name) return 2 - 0.02 * place;
    if (name.size() >= 5 && bare.find(name) != bare.npos) best = std::max(best, 0.9 - 0.01 * place);
  }
  return best;
}

struct Choice {
  std::size_t field, column;
  double score;
  bool by_name;
};

// The best pairs first; a column has one field, a field one column.
template <std::size_t N>
std::vector<int> assign(const Wanted (&fields)[N], const std::vector<Contents>& columns, const std::vector<bool>& closing) {
  std::vector<Choice> choices;
  for (std::size_t f = 0; f < N; ++f) {
    const std::string_view field = fields[f].field;
    const bool of_closing = field == "solution" || field == "result" || field == "completed";
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (columns[c].name.empty() || (closing[c] && !of_closing && field != "activities")) continue;
      const double content = fits(fields[f].kind, columns[c]);
      if (content <= 0) continue;
      const double name = name_score(fields[f], columns[c].name);
      if (name > 0) {
        choices.push_back({f, c, name + content, true});
      } else if ((field == "problem" || field == "text") && columns[c].mean_bytes() > 30) {
        choices.push_back({f, c, 0.2 * content, false});
      } else if (field == "id" && content > 0.99 && columns[c].filled == columns[c].rows && columns[c].rows > 1) {
        choices.push_back({f, c, 0.3 - 0.001 * static_cast<double>(c), false});
      } else if ((field == "received" || field == "created") && !closing[c]) {
        choices.push_back({f, c, 0.2 - 0.001 * static_cast<double>(c), false});
      }
    }
  }
  std::stable_sort(choices.begin(), choices.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  std::vector<int> field_of(columns.size(), -1);
  std::set<std::size_t> taken;
  for (const auto& choice : choices) {
    if (field_of[choice.column] >= 0 || !taken.insert(choice.field).second) continue;
    field_of[choice.column] = static_cast<int>(choice.field);
  }
  return field_of;
}

struct Sample {
  std::vector<Contents> columns;
  std::vector<Row> rows;  // the first few hundred, whole
  std::int64_t seen = 0;
  std::string description;
  std::vector<std::string> sheets;
};

Sample look_at(const std::filesystem::path& path, const std::string& sheet, const GuessOptions& options,
               const std::vector<std::string>& other_sheets = {}) {
  constexpr std::size_t kKept = 500;
  auto table_options = options.table;
  table_options.sheet = sheet;
  table_options.other_sheets = other_sheets;
  const auto table = open_table(path, table_options);
  Sample sample;
  for (const auto& name : table->header()) sample.columns.push_back({.name = name});
  Row row;
  while (sample.seen < options.rows) {
    try {
      if (!table->next(row)) break;
    } catch (const RowError&) {
      continue;
    }
    ++sample.seen;
    for (std::size_t i = 0; i < sample.columns.size() && i < row.cells.size(); ++i) sample.columns[i].see(row.cells[i]);
    if (sample.rows.size() < kKept) sample.rows.push_back(row);
  }
  sample.description = table->description();
  sample.sheets = table->sheets();
  return sample;
}

std::vector<std::string> names_of(const std::vector<Contents>& columns) {
  std::vector<std::string> names;
  for (const auto& column : columns) names.push_back(column.name);
  return names;
}

std::string why(const Wanted& wanted, const Contents& c) {
  std::string text = name_score(wanted, c.name) >= 1  ? "its name"
                     : name_score(wanted, c.name) > 0 ? "part of its name"
                                                      : "its contents alone";
  switch (wanted.kind) {
    case Kind::kId:
      return text + (c.different() > 0.999 ? ", no value twice" : fmt::format(", {:.0f} % of the values differ", 100 * c.different()));
    case Kind::kDate:
      return text + fmt::format(", {:.0f} % are dates", 100 * c.share(c.dates));
    case Kind::kLabel:
    case Kind::kUrgency:
      return text + fmt::format(", {} different values", c.values.size());
    case Kind::kText:
      return text + fmt::format(", {:.0f} bytes on average", c.mean_bytes());
    default:
      return text;
  }
}

template <std::size_t N>
std::vector<GuessedColumn> described(const Wanted (&fields)[N], const std::vector<Contents>& columns, const std::vector<int>& field_of,
                                     const std::vector<bool>& closing) {
  std::vector<GuessedColumn> list;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    GuessedColumn column{.column = columns[c].name,
                         .filled = columns[c].filled,
                         .distinct = static_cast<std::int64_t>(columns[c].values.size()),
                         .example = columns[c].example,
                         .is_closing = closing[c]};
    if (field_of[c] >= 0) {
      column.field = fields[field_of[c]].field;
      column.why = why(fields[field_of[c]], columns[c]);
    }
    list.push_back(std::move(column));
  }
  return list;
}

template <class Columns, std::size_t N>
void fill(Columns& columns, const std::pair<std::string_view, std::string Columns::*> (&fields)[N],
          const std::vector<GuessedColumn>& guessed) {
  for (const auto& column : guessed)
    for (const auto& [field, member] : fields)
      if (column.field == field) columns.*member = column.column;
}

class Guesser {
 public:
  Guesser(const std::filesystem::path& tickets, const std::filesystem::path& history, const GuessOptions& options)
      : options_(options), tickets_(look_at(tickets, options.ticket_sheet, options)) {
    if (!history.empty()) {  // tickets and history may be sheets of one workbook
      std::error_code fault;
      const bool is_same = std::filesystem::equivalent(tickets, history, fault);
      history_ = look_at(history, options.history_sheet, options, is_same ? tickets_.sheets : std::vector<std::string>());
      has_history_ = true;
    }
    file_ = tickets.string();
  }

  Guess run() {
    guess_.ticket_rows = tickets_.seen;
    guess_.history_rows = history_.seen;
    if (options_.presets && is_preset()) return std::move(guess_);
    guess_.mapping.name = "own";
    find_tickets();
    if (has_history_) {
      find_history(history_.columns);
    } else if (!guess_.mapping.activities.empty()) {
      look_into_activities();
    }
    find_urgencies();
    find_date_order();
    return std::move(guess_);
  }

 private:
  bool is_preset() {
    for (const auto& name : mapping_preset_names()) {
      if (name == "own") continue;
      const auto mapping = mapping_preset(name);
      if (has_history_ && !mapping.activities.empty()) continue;
      try {
        check_mapping(mapping, TableRole::kTickets, names_of(tickets_.columns), file_);
        if (has_history_) check_mapping(mapping, TableRole::kHistory, names_of(history_.columns), file_);
      } catch (const Error&) {
        continue;
      }
      guess_.mapping = mapping;
      guess_.is_preset = true;
      guess_.notes.push_back(fmt::format("the columns are those of the preset \"{}\"", name));
      return true;
    }
    return false;
  }

  std::size_t column_named(const std::string& name) const {
    for (std::size_t i = 0; i < tickets_.columns.size(); ++i)
      if (!name.empty() && tickets_.columns[i].name == name) return i;
    return tickets_.columns.size();
  }

  // Of the rows with a solution of some length, the share whose cell in this column holds it.
  double share_with_solution(std::size_t column, std::size_t solution) const {
    std::int64_t solved = 0, held = 0;
    for (const auto& row : tickets_.rows) {
      const auto text = trim(row.cells[solution]).substr(0, 80);
      if (text.size() < 20) continue;
      ++solved;
      held += row.cells[column].find(text) != std::string::npos;
    }
    return solved >= 5 ? static_cast<double>(held) / static_cast<double>(solved) : 0;
  }

  void find_tickets() {
    const auto& columns = tickets_.columns;
    std::vector<bool> closing;
    for (const auto& column : columns) closing.push_back(sounds_like_closing(column.name));
    auto field_of = assign(kTicketFields, columns, closing);
    for (std::size_t s = 0; s < columns.size(); ++s) {  // what holds the solution's own words was written with it
      if (field_of[s] < 0 || std::string_view(kTicketFields[field_of[s]].field) != "solution") continue;
      for (std::size_t c = 0; c < columns.size(); ++c) {
        if (c == s || closing[c] || columns[c].share(columns[c].arrays) > 0.5 || share_with_solution(c, s) < 0.3) continue;
        closing[c] = true;
        guess_.notes.push_back(fmt::format("\"{}\" holds the words of \"{}\": written at closing", columns[c].name, columns[s].name));
      }
      field_of = assign(kTicketFields, columns, closing);
      break;
    }
    guess_.tickets = described(kTicketFields, columns, field_of, closing);
    fill(guess_.mapping.tickets, kTicketColumns, guess_.tickets);
    for (const auto& column : guess_.tickets) {
      if (column.field == "activities") guess_.mapping.activities = column.column;
      if (column.is_closing && !column.column.empty()) guess_.mapping.written_at_closing.push_back(column.column);
    }
    if (guess_.mapping.tickets.problem.empty() && guess_.mapping.tickets.subject.empty())
      throw Error(ExitCode::kBadInput,
                  "{}: no column looks like a problem's text; name it in desk.toml, under [import.columns] problem = \"COLUMN\"", file_);
    if (guess_.mapping.tickets.id.empty()) guess_.notes.push_back("no column names the tickets: file and row number do");
    if (guess_.mapping.tickets.solution.empty() && guess_.mapping.activities.empty() && !has_history_)
      guess_.notes.push_back("no column holds a solution: past cases can be found, but not how they were resolved");
  }

  void find_history(const std::vector<Contents>& columns) {
    std::vector<bool> closing;
    for (const auto& column : columns) closing.push_back(sounds_like_closing(column.name));
    guess_.history = described(kHistoryFields, columns, assign(kHistoryFields, columns, closing), closing);
    fill(guess_.mapping.history, kHistoryColumns, guess_.history);
  }

  // The objects in the activities' column, as if they were a table.
  void look_into_activities() {
    const auto column = column_named(guess_.mapping.activities);
    std::vector<Contents> keys;
    std::vector<std::pair<std::size_t, Json>> objects;  // row, activity
    for (std::size_t r = 0; r < tickets_.rows.size(); ++r) {
      const auto& cell = tickets_.rows[r].cells[column];
      if (trim(cell).empty()) continue;
      Json list;
      try {
        list = parse_json(cell, file_);
      } catch (const Error&) {
        continue;
      }
      for (auto& object : list)
        if (object.is_object() && objects.size() < 20000) objects.emplace_back(r, std::move(object));
    }
    const auto text_of = [](const Json& object, const std::string& key) {
      const auto found = object.find(key);
      return found == object.end() || found->is_null() ? std::string()
             : found->is_string()                      ? found->get<std::string>()
                                                       : write_json(*found);
    };
    for (const auto& [row, object] : objects)
      for (const auto& [key, value] : object.items()) {
        auto found = std::find_if(keys.begin(), keys.end(), [&](const auto& one) { return one.name == key; });
        if (found == keys.end() && keys.size() < 200) found = keys.insert(keys.end(), {.name = key});
        if (found != keys.end()) found->see(text_of(object, key));
      }
    find_history(keys);
    guess_.mapping.history.ticket_id.clear();
    guess_.history_rows = static_cast<std::int64_t>(objects.size());
    const auto& mapping = guess_.mapping;
    const auto& type_key = mapping.history.type;
    const auto solution = column_named(mapping.tickets.solution), problem = column_named(mapping.tickets.problem);

    // Types that were written at closing: by their name, or because they hold the solution.
    struct Type {
      std::int64_t count = 0, solved = 0, holds = 0, is_problem = 0;
    };
    std::map<std::string, Type> types;
    std::int64_t firsts = 0, firsts_are_problem = 0;
    std::size_t last_row = tickets_.rows.size();
    for (const auto& [r, object] : objects) {
      const auto text = text_of(object, mapping.history.text);
      auto& type = types[text_of(object, type_key)];
      ++type.count;
      const auto& cells = tickets_.rows[r].cells;
      const auto wanted = problem < cells.size() ? trim(cells[problem]).substr(0, 60) : std::string_view();
      const bool is_problem = wanted.size() >= 10 && text.find(wanted) != text.npos;
      type.is_problem += is_problem;
      if (r != last_row) ++firsts, firsts_are_problem += is_problem;
      last_row = r;
      if (solution >= cells.size()) continue;
      const auto answer = trim(cells[solution]).substr(0, 80);
      if (answer.size() < 20) continue;
      ++type.solved;
      type.holds += text.find(answer) != text.npos;
    }
    if (!type_key.empty()) {
      std::string asked;
      for (const auto& [name, type] : types) {
        const bool holds = type.solved >= 5 && type.holds * 10 >= type.solved * 3;
        if (types.size() > 1 && !name.empty() && (sounds_like_closing(name) || (holds && firsts_are_problem * 2 > firsts))) {
          guess_.mapping.ignored_activity_types.push_back(name);
          guess_.notes.push_back(fmt::format("activities of the type \"{}\" are written at closing{} and left out", name,
                                             holds ? ", they hold the solution" : ""));
        } else if (type.count > 0 && type.is_problem * 10 >= type.count * 9) {
          asked = name;
        }
      }
      if (!asked.empty()) {
        guess_.mapping.query_type = asked;
        guess_.notes.push_back(fmt::format("activities of the type \"{}\" are the query", asked));
      }
    }
    if (firsts > 0 && firsts_are_problem * 4 < firsts && problem < tickets_.columns.size()) {
      guess_.mapping.first_activity_is_query = false;
      guess_.notes.push_back("the first activity is seldom the problem: the history is taken as answers alone");
    }
  }

  void find_urgencies() {
    const auto column = column_named(guess_.mapping.tickets.urgency);
    if (column >= tickets_.columns.size()) return;
    const auto& contents = tickets_.columns[column];
    if (contents.share(contents.small) > 0.99) return;
    std::vector<std::pair<double, std::string>> numbers;
    std::string list;
    for (const auto& [word, count] : contents.values) {
      double number = 0;
      const auto [end, fault] = std::from_chars(word.data(), word.data() + word.size(), number);
      if (fault == std::errc() && end == word.data() + word.size()) {
        numbers.emplace_back(number, word);
      } else {
        const int urgency = urgency_of_word(word);
        guess_.mapping.urgency_labels[lower(word)] = urgency ? urgency : 3;
        if (!urgency) guess_.notes.push_back(fmt::format("the urgency \"{}\" is not known: 3 is taken, look at it", word));
      }
    }
    std::sort(numbers.begin(), numbers.end());
    for (std::size_t i = 0; i < numbers.size(); ++i)
      guess_.mapping.urgency_labels[numbers[i].second] = std::min(static_cast<int>(i) + 1, kMaxUrgency);
    if (!numbers.empty())
      guess_.notes.push_back("urgencies are numbers other than 1 to 5: the smallest is taken as the most urgent, look at it");
  }

  void find_date_order() {
    std::int64_t day_first = 0, month_first = 0;
    for (const auto* sample : {&tickets_, &history_})
      for (const auto& column : sample->columns) {
        if (column.share(column.dates) < 0.7) continue;
        day_first += column.only_day_first;
        month_first += column.only_month_first;
      }
    guess_.mapping.date_order = month_first > day_first ? DateOrder::kMonthFirst : DateOrder::kDayFirst;
    if (day_first && month_first)
      guess_.notes.push_back(
          fmt::format("{} dates can only be day first and {} only month first: the more frequent is taken", day_first, month_first));
    else if (month_first)
      guess_.notes.push_back(fmt::format("dates are month first: {} of them can be nothing else", month_first));
    else if (day_first)
      guess_.notes.push_back(fmt::format("dates are day first: {} of them can be nothing else", day_first));
  }

  GuessOptions options_;
  std::string file_;
  Sample tickets_, history_;
  bool has_history_ = false;
  Guess guess_;
};

std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string toml_list(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += (out.empty() ? "" : ", ") + toml_text(text);
  return "[" + out + "]";
}

}  // namespace

int urgency_of_word(std::string_view word) {
  static const std::unordered_map<std::string_view, int> kWords = {
      {"blocker", 1},  {"critical", 1}, {"highest", 1},  {"urgent", 1},   {"emergency", 1}, {"immediate", 1},   {"kritisch", 1},
      {"dringend", 1}, {"sehrhoch", 1}, {"critique", 1}, {"critico", 1},  {"urgente", 1},   {"veryhigh", 1},    {"showstopper", 1},
      {"p1", 1},       {"sev1", 1},     {"s1", 1},       {"prio1", 1},    {"high", 2},      {"hoch", 2},        {"major", 2},
      {"haute", 2},    {"alta", 2},     {"elevee", 2},   {"p2", 2},       {"sev2", 2},      {"s2", 2},          {"prio2", 2},
      {"medium", 3},   {"normal", 3},   {"mittel", 3},   {"moderate", 3}, {"average", 3},   {"media", 3},       {"moyenne", 3},
      {"normale", 3},  {"standard", 3}, {"p3", 3},       {"sev3", 3},     {"s3", 3},        {"prio3", 3},       {"low", 4},
      {"niedrig", 4},  {"gering", 4},   {"minor", 4},    {"baja", 4},     {"basse", 4},     {"p4", 4},          {"sev4", 4},
      {"s4", 4},       {"prio4", 4},    {"lowest", 5},   {"trivial", 5},  {"planning", 5},  {"sehrniedrig", 5}, {"verylow", 5},
      {"question", 5}, {"wish", 5},     {"p5", 5},       {"sev5", 5},     {"s5", 5},        {"prio5", 5}};
  word = trim(word);
  if (word.size() > 1 && word[0] >= '1' && word[0] <= '5' && (word[1] == ' ' || word[1] == '-' || word[1] == '.' || word[1] == ':'))
    return word[0] - '0';
  const auto found = kWords.find(bare_name(word));
  return found == kWords.end() ? 0 : found->second;
}

Guess guess_mapping(const std::filesystem::path& tickets, const std::filesystem::path& history, const GuessOptions& options) {
  return Guesser(tickets, history, options).run();
}

MappingLines mapping_lines(const ColumnMapping& mapping, bool is_preset) {
  MappingLines lines;
  lines.keys = fmt::format("preset = {}\n", toml_text(is_preset ? mapping.name : "own"));
  lines.keys += fmt::format("dates = \"{}\"\n", mapping.date_order == DateOrder::kDayFirst ? "day-first" : "month-first");
  if (is_preset) return lines;
  if (!mapping.activities.empty()) lines.keys += fmt::format("activities = {}\n", toml_text(mapping.activities));
  if (!mapping.query_type.empty()) lines.keys += fmt::format("query_type = {}\n", toml_text(mapping.query_type));
  if (!mapping.first_activity_is_query) lines.keys += "first_activity_is_query = false\n";
  if (!mapping.ignored_activity_types.empty())
    lines.keys += fmt::format("ignored_activity_types = {}\n", toml_list(mapping.ignored_activity_types));
  if (!mapping.written_at_closing.empty()) lines.keys += fmt::format("written_at_closing = {}\n", toml_list(mapping.written_at_closing));
  lines.tables = "[import.columns]\n";
  for (const auto& [field, member] : kTicketColumns)
    if (!(mapping.tickets.*member).empty()) lines.tables += fmt::format("{} = {}\n", field, toml_text(mapping.tickets.*member));
  std::string history;
  for (const auto& [field, member] : kHistoryColumns)
    if (!(mapping.history.*member).empty()) history += fmt::format("{} = {}\n", field, toml_text(mapping.history.*member));
  if (!history.empty()) lines.tables += "[import.history_columns]\n" + history;
  if (!mapping.urgency_labels.empty()) {
    lines.tables += "[import.urgency_labels]\n";
    for (const auto& [word, urgency] : mapping.urgency_labels) lines.tables += fmt::format("{} = {}\n", toml_text(word), urgency);
  }
  return lines;
}

}  // namespace deskhand
