#include "deskhand/tickets/date.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr std::size_t kMomentBytes = 19;  // "2024-03-14T08:12:00"

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
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
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80; };
    while (!done() && is_letter(text_[at_])) ++at_;
    std::string word(text_.substr(begin, at_ - begin));
    for (char& c : word)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    return word;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0, digits_ = 0;
};

int month_of(std::string_view word) {
  constexpr std::pair<std::string_view, int> kMonths[] = {
      // how they begin in English, German, French, Spanish
      {"jan", 1}, {"ene", 1}, {"feb", 2},  {"fév", 2},  {"mar", 3},  {"mär", 3},  {"mrz", 3},  {"apr", 4},  {"avr", 4},
      {"abr", 4}, {"may", 5}, {"mai", 5},  {"jun", 6},  {"juin", 6}, {"jul", 7},  {"juil", 7}, {"aug", 8},  {"aoû", 8},
      {"ago", 8}, {"sep", 9}, {"oct", 10}, {"okt", 10}, {"nov", 11}, {"dec", 12}, {"dez", 12}, {"déc", 12}, {"dic", 12}};
  for (const auto& [start, month] : kMonths)
    if (word.starts_with(start)) return month;
  return 0;
}

bool read_calendar(DateScanner& scan, DateOrder order, int& year, int& month, int& day) {
  const auto begin = scan.place();
  if (scan.number(year, 4, 4) && scan.take("-/.") && scan.number(month, 1, 2) && scan.take("-/.") && scan.number(day, 1, 2)) return true;
  scan.go_back(begin);
  if (int packed = 0; scan.number(packed, 8, 8)) {
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
  if (scan.take(".,") && !scan.number(fraction, 1, 9)) return false;
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

// Names that mean one offset alone: RFC 5322's, and the European ones.
constexpr std::pair<std::string_view, int> kZones[] = {  // hours east
    {"z", 0},   {"utc", 0},  {"gmt", 0},  {"ut", 0},   {"wet", 0},  {"west", 1}, {"cet", 1},  {"cest", 2}, {"mez", 1},  {"mesz", 2},
    {"eet", 2}, {"eest", 3}, {"est", -5}, {"edt", -4}, {"cst", -6}, {"cdt", -5}, {"mst", -7}, {"mdt", -6}, {"pst", -8}, {"pdt", -7}};

// Seconds east of UTC: "+01:00", "-0500", "+2", "CET", "GMT+0100".
bool read_offset(DateScanner& scan, int& seconds) {
  if (const auto word = scan.word(); !word.empty()) {
    const auto* zone = std::find_if(std::begin(kZones), std::end(kZones), [&](const auto& one) { return one.first == word; });
    if (zone == std::end(kZones)) return false;
    seconds = zone->second * 3600;
    if (scan.done() || (word != "utc" && word != "gmt")) return true;
  }
  const bool west = scan.take("-");
  if (!west && !scan.take("+")) return false;
  int hours = 0, minutes = 0;
  if (scan.number(hours, 4, 4)) {
    minutes = hours % 100, hours /= 100;
  } else if (!scan.number(hours, 1, 2) || (scan.take(":") && !scan.number(minutes, 2, 2))) {
    return false;
  }
  if (hours > 15 || minutes > 59) return false;
  seconds = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
  return true;
}

using Moment = std::chrono::sys_seconds;

std::string iso(Moment moment) {
  const auto midnight = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day day(midnight);
  const auto clock = (moment - midnight).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()), clock / 3600, clock / 60 % 60, clock % 60);
}

bool has_clock(std::string_view date) {
  return date.size() >= kMomentBytes;
}

}  // namespace

std::optional<std::string> read_date(std::string_view text, DateOrder order) {
  text = trim(text);
  if (text.ends_with(')')) text = trim(text.substr(0, text.rfind('(')));  // "+0100 (CET)"
  DateScanner scan(text);
  if (text.size() == 14 && text.find_first_not_of("0123456789") == text.npos) {  // as SAP writes moments
    const auto spaced = fmt::format("{} {}:{}:{}", text.substr(0, 8), text.substr(8, 2), text.substr(10, 2), text.substr(12));
    return read_date(spaced, order);
  }
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
  const bool has_zone = !scan.done();
  if (has_zone && (!read_offset(scan, offset) || !scan.done())) return std::nullopt;
  auto date = iso(std::chrono::sys_days(calendar) + std::chrono::seconds(clock - offset));
  if (date.size() != kMomentBytes || date.starts_with("0000")) return std::nullopt;  // UTC's year is another than the clock's
  if (!has_zone) return date;
  date += 'Z';
  const int minutes = std::abs(offset) / 60;
  if (offset != 0) date += fmt::format("[{}{:02}:{:02}]", offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
  return date;
}

std::string_view moment_of(std::string_view date) {
  return date.substr(0, kMomentBytes);
}

std::string local_date(std::string_view date) {
  const auto open = date.find('[');
  if (open == date.npos) return std::string(date);
  const auto number = [&](std::size_t at, std::size_t length) {
    int value = 0;
    if (at + length <= date.size()) std::from_chars(date.data() + at, date.data() + at + length, value);
    return value;
  };
  const std::chrono::year_month_day day{std::chrono::year(number(0, 4)), std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2)))};
  const int offset = (number(open + 2, 2) * 60 + number(open + 5, 2)) * (date.substr(open + 1, 1) == "-" ? -1 : 1);  // minutes
  const auto clock = std::chrono::seconds(number(11, 2) * 3600 + number(14, 2) * 60 + number(17, 2)) + std::chrono::minutes(offset);
  return iso(std::chrono::sys_days(day) + clock) + std::string(date.substr(open + 1, 6));
}

bool is_after(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return false;
  if (has_clock(a) && has_clock(b)) return moment_of(a) > moment_of(b);
  return local_date(a).substr(0, 10) > local_date(b).substr(0, 10);
}

}  // namespace deskhand
