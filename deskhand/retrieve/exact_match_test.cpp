#include "deskhand/retrieve/exact_match.h"

#include <doctest/doctest.h>

#include "deskhand/base/error.h"

using namespace deskhand;

namespace {

std::vector<std::string> keys(std::string_view text, std::span<const std::string> extra = {}) {
  std::vector<std::string> found;
  for (const auto& identifier : IdentifierFinder(extra).find(text)) found.push_back(identifier.key);
  return found;
}
using Keys = std::vector<std::string>;

}  // namespace

TEST_CASE("error codes, screens and versions are found in running text") {
  CHECK(keys("Got CVN-1042 on SOP140.") == Keys{"cvn1042", "sop140"});
  CHECK(keys("DBX-3117, MTD-409; ORA-00942: table") == Keys{"dbx3117", "mtd409", "ora00942"});
  CHECK(keys("HRESULT 0x80070005 after KB5034441") == Keys{"0x80070005", "kb5034441"});
  CHECK(keys("since 2023.2 SP1 (Thunderbird 115.6.0)") == Keys{"115.6.0", "2023.2", "2023.2 sp1"});
  CHECK(keys("we run v2.3 and version 12.1") == Keys{"12.1", "2.3"});
  CHECK(keys("Is it fixed in 2024.1?") == Keys{"2024.1"});
}

TEST_CASE("spellings of one identifier have one key") {
  CHECK(keys("cvn-1042") == keys("CVN\xE2\x80\x91"
                                 "1042"));
  CHECK(keys("CVN1042") == keys("CVN-1042"));
  CHECK(keys("2023.2SP1") == keys("2023.2  sp 1"));
}

TEST_CASE("dates, amounts and years are no identifiers") {
  for (const char* text : {"on 14.03.2024", "on 2024.03.14", "paid £2014.50 of 1.234.567", "mid-2023 to sep-2024", "12.5 %",
                           "5012345000718", "covid-19", "10:41"}) {
    CAPTURE(text);
    CHECK(keys(text).empty());
  }
}

TEST_CASE("kinds tell an error code from a screen and a version") {
  const auto found = IdentifierFinder().find("CVN-1042 SOP140 2023.2");
  CHECK(found[0] == Identifier{"2023.2", IdentifierKind::kVersion});
  CHECK(found[1] == Identifier{"cvn1042", IdentifierKind::kError});
  CHECK(found[2] == Identifier{"sop140", IdentifierKind::kScreen});
}

TEST_CASE("a desk's own patterns count, wrong ones are refused with the place") {
  const std::vector<std::string> licence = {R"(LIC/[a-z]+/\d+)"};
  CHECK(keys("renew lic/AB/77 please", licence) == Keys{"lic/ab/77"});
  CHECK_THROWS_WITH_AS(IdentifierFinder(std::vector<std::string>{"a(b"}), doctest::Contains("a(b"), Error);
  CHECK_THROWS_WITH_AS(IdentifierFinder(std::vector<std::string>{"x*"}), doctest::Contains("empty text"), Error);
}

TEST_CASE("broken UTF-8, NUL and patterns that explode do no harm") {
  CHECK(keys(std::string("\xFF CVN-1042\0SOP310 \xC3", 18)) == Keys{"cvn1042", "sop310"});
  CHECK(keys(std::string(200000, 'A')).empty());
  CHECK(keys(std::string(100000, '-') + " CVN-1042") == Keys{"cvn1042"});
  const std::vector<std::string> trap = {"(a+)+$b"};
  CHECK(keys(std::string(3000, 'a') + " CVN-1042", trap) == Keys{"cvn1042"});
}

TEST_CASE("a rare shared code outweighs common ones, and an error code is told from a screen") {
  const IdentifierFinder finder;
  ExactIndex index;
  for (const char* text : {"SOP140 CVN-1042", "SOP140 slow", "SOP140 2023.2", "SOP140", "nothing", "2023.2 CVN-1043"})
    index.add(finder.find(text));
  auto found = index.search(finder.find("SOP140: cvn-1042"));
  CHECK(found.cases.size() == 4);
  CHECK(found.cases[0].item == 0);
  CHECK(found.cases[1].item == 1);  // ties by item
  CHECK(found.cases[0].score > 2 * found.cases[1].score);
  CHECK(found.shares_error);
  found = index.search(finder.find("SOP140 CVN-9999"));
  CHECK(!found.shares_error);
  found = index.search(finder.find("CVN-1042"), [](std::uint32_t item) { return item != 0; });
  CHECK(found.cases.empty());
  CHECK(!found.shares_error);
}
