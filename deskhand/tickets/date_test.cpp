#include "deskhand/tickets/date.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace deskhand;

namespace {

std::string read(std::string_view text, DateOrder order = DateOrder::kDayFirst) {
  return read_date(text, order).value_or("none");
}

}  // namespace

TEST_CASE("dates are read day first, month first where the desk says so, and as what they can only be") {
  CHECK(read("03/04/2024") == "2024-04-03");
  CHECK(read("03/04/2024", DateOrder::kMonthFirst) == "2024-03-04");
  CHECK(read("03/14/2024 9:12 PM") == "2024-03-14T21:12:00");
  CHECK(read("14.3.24") == "2024-03-14");
  CHECK(read("14-Mar-2024 00:05") == "2024-03-14T00:05:00");
  CHECK(read("Thu, 14 March 2024 12:00:01 AM") == "2024-03-14T00:00:01");
  CHECK(read("Mar 14, 2024") == "2024-03-14");
  CHECK(read("Donnerstag, 14. März 2024 09:12") == "2024-03-14T09:12:00");
  CHECK(read("3 déc. 2024") == "2024-12-03");
  CHECK(read("3. Okt. 2024") == "2024-10-03");
  CHECK(read("20240314") == "2024-03-14");
  CHECK(read("20240314091251") == "2024-03-14T09:12:51");
  CHECK(read("2024-03-14 09:12:51,123") == "2024-03-14T09:12:51");
  for (const char* text :
       {"", "yesterday", "31/02/2024", "14/03/2024 25:00", "14/03/2024 later", "2024", "1/2", "99999999", "20241314091251",
        "14/03/2024 09:12 +99:00", "14/03/2024 09:12 XYZ", "0001-01-01 00:00 +14:00", "9999-12-31 23:00 -05:00", ")", "("})
    CHECK_MESSAGE(read(text) == "none", text);
}

TEST_CASE("a date with a zone is its moment in UTC and the offset it was written with; one without stays as the clock showed") {
  CHECK(read("2022-01-02 11:12:51") == "2022-01-02T11:12:51");
  CHECK(read("2022-01-02 11:12:51+00:00") == "2022-01-02T11:12:51Z");
  CHECK(read("2024-03-14T09:12:00.123Z") == "2024-03-14T09:12:00Z");
  CHECK(read("2024-01-01 00:30:00 +0200") == "2023-12-31T22:30:00Z[+02:00]");
  CHECK(read("2024-03-14T09:12:00.000+05:30") == "2024-03-14T03:42:00Z[+05:30]");
  CHECK(read("2024-12-31T20:00:00-05") == "2025-01-01T01:00:00Z[-05:00]");
  CHECK(read("Thu, 14 Mar 2024 09:12:51 +0100 (CET)") == "2024-03-14T08:12:51Z[+01:00]");
  CHECK(read("Thu, 14 Mar 2024 09:12:51 EST") == "2024-03-14T14:12:51Z[-05:00]");
  CHECK(read("Thu, 14 Mar 2024 09:12:51 -0000") == "2024-03-14T09:12:51Z");
  CHECK(read("14.07.2024 09:12 MESZ") == "2024-07-14T07:12:00Z[+02:00]");
  CHECK(read("Thu Mar 14 2024 09:12:51 GMT+0100 (Central European Standard Time)") == "2024-03-14T08:12:51Z[+01:00]");
  CHECK(read("2024-03-14 09:12 UTC-3") == "2024-03-14T12:12:00Z[-03:00]");
}

TEST_CASE("dates sort by their moments across zones, and are shown as their clocks did, in a form that is read back the same") {
  // 23:30 in New York is later than 05:00 in Berlin on the next day's clock.
  const std::vector<std::string> written = {"2024-03-15T05:00:00+01:00", "2024-03-14T23:30:00-05:00", "2024-03-15T05:10:00Z",
                                            "2024-03-14T20:00:00Z"};
  std::vector<std::string> dates;
  for (const auto& text : written) dates.push_back(read(text));
  for (std::size_t i = 0; i < dates.size(); ++i) {
    CHECK(local_date(dates[i]) == written[i]);
    CHECK(read(local_date(dates[i])) == dates[i]);
  }
  std::sort(dates.begin(), dates.end());
  std::vector<std::string> shown;
  for (const auto& date : dates) shown.push_back(local_date(date));
  CHECK(shown == std::vector<std::string>{written[3], written[0], written[1], written[2]});
  CHECK(moment_of(read("2024-03-14T09:12:00+01:00")) == moment_of(read("2024-03-14T08:12:00Z")));
  CHECK(local_date("2024-03-14") == "2024-03-14");
  CHECK(local_date("2024-03-14T09:12:00") == "2024-03-14T09:12:00");
  CHECK(local_date("") == "");
}

TEST_CASE("which of two dates is later is told by moments, and beside a bare day by the days on both clocks") {
  const auto after = [](std::string_view a, std::string_view b) { return is_after(read(a), read(b)); };
  CHECK(after("2024-03-14T09:00:00-05:00", "2024-03-14T14:30:00+01:00"));
  CHECK_FALSE(after("2024-03-14T14:30:00+01:00", "2024-03-14T09:00:00-05:00"));
  CHECK_FALSE(after("2024-03-14T09:00:00+01:00", "2024-03-14T08:00:00Z"));
  CHECK_FALSE(after("2024-03-14T08:00:00Z", "2024-03-14T09:00:00+01:00"));
  CHECK_FALSE(after("2024-03-14T23:30:00-05:00", "2024-03-14"));  // UTC's 15 March
  CHECK(after("2024-03-15T00:30:00+02:00", "2024-03-14"));        // UTC's 14 March
  CHECK_FALSE(after("2024-03-14", "2024-03-14 09:00"));
  CHECK(after("2024-03-15", "2024-03-14 09:00"));
  CHECK_FALSE(is_after("", "2024-03-14"));
  CHECK_FALSE(is_after("2024-03-14", ""));
}
