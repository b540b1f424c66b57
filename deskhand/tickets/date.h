// Dates of exports, as text that sorts by the moment they name. A date without a clock is "2024-03-14"; one whose export named no zone is
// "2024-03-14T09:12:00", as the clock showed; one with a zone is its moment in UTC and the offset it was written with,
// "2024-03-14T08:12:00Z[+01:00]" (RFC 9557), or "...Z" where that is UTC itself.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace deskhand {

enum class DateOrder { kDayFirst, kMonthFirst };  // of 03/04/2024; dates that start with the year need no choice

// "14/03/2024 09:12", "14.3.24", "2024-03-14 09:12:51+01:00", "Thu, 14 Mar 2024 9:12 PM CET", "20240314091251" ... as the text above; a day
// first that cannot be (03/14/2024) is read the other way round, as pandas does. Nothing for what is no date.
std::optional<std::string> read_date(std::string_view text, DateOrder order);

// What dates are ordered by: to the second, in UTC where the zone is known, as written where it is not.
std::string_view moment_of(std::string_view date);
// As the clock showed where it was written, in ISO 8601: "2024-03-14T09:12:00+01:00".
std::string local_date(std::string_view date);
// a is later than b, as far as both tell: beside a date without a clock the days on their clocks are compared. False if either is empty.
bool is_after(std::string_view a, std::string_view b);

}  // namespace deskhand
