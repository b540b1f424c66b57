#include "deskhand/text/fuzzy.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <random>
#include <string>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/text/lcs.h"

using namespace deskhand;

namespace {

double set_ratio(std::string_view a, std::string_view b) {
  return token_set_ratio(FuzzyText(a), FuzzyText(b));
}

// Every part that rapidfuzz's documentation names, one by one.
double partial_by_trying(const FuzzyText& a, const FuzzyText& b) {
  const auto value = [](Symbols x, Symbols y) {
    return 200.0 * static_cast<double>(lcs_length(x, y)) / static_cast<double>(x.size() + y.size());
  };
  double best = 0;
  for (const auto& [x, y] : {std::pair{a.characters(), b.characters()}, {b.characters(), a.characters()}}) {
    if (x.size() > y.size() || x.empty()) continue;
    for (std::size_t i = 0; i + x.size() <= y.size(); ++i) best = std::max(best, value(x, y.subspan(i, x.size())));
    for (std::size_t length = 1; length < x.size(); ++length) best = std::max({best, value(x, y.first(length)), value(x, y.last(length))});
  }
  return best;
}

}  // namespace

TEST_CASE("all four ratios equal rapidfuzz's on its own golden pairs, both ways round") {
  const auto path = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/similarity/pairs.json";
  const Json file = parse_json(read_text_file(path), path.string());
  REQUIRE(file["pairs"].size() > 300);
  for (const Json& row : file["pairs"]) {
    const std::string answer = row[0], reference = row[1];
    CAPTURE(answer);
    CAPTURE(reference);
    const FuzzyText a(answer), b(reference);
    const auto wanted = row[2].get<std::vector<double>>();
    CHECK(ratio(a, b) == doctest::Approx(wanted[0]).epsilon(1e-12));
    CHECK(partial_ratio(a, b) == doctest::Approx(wanted[1]).epsilon(1e-12));
    CHECK(token_sort_ratio(a, b) == doctest::Approx(wanted[2]).epsilon(1e-12));
    CHECK(token_set_ratio(a, b) == doctest::Approx(wanted[3]).epsilon(1e-12));
    CHECK(ratio(b, a) == ratio(a, b));
    CHECK(partial_ratio(b, a) == partial_ratio(a, b));
    CHECK(token_set_ratio(b, a) == token_set_ratio(a, b));
  }
}

TEST_CASE("partial_ratio is the best of all parts tried one by one") {
  std::mt19937 chance(8);
  for (int round = 0; round < 300; ++round) {
    const auto text = [&](std::size_t longest, int letters) {
      std::string made(chance() % longest, ' ');
      for (char& letter : made) letter = static_cast<char>('a' + chance() % static_cast<unsigned>(letters));
      return FuzzyText(made);
    };
    const int letters = 1 + static_cast<int>(chance() % 8);
    const FuzzyText a = text(round % 3 == 0 ? 12 : 150, letters), b = text(round % 3 == 2 ? 12 : 150, letters);
    if (a.characters().empty() || b.characters().empty()) continue;
    CHECK(partial_ratio(a, b) == doctest::Approx(partial_by_trying(a, b)).epsilon(1e-12));
  }
}

TEST_CASE("empty texts give what rapidfuzz gives: 100 but for token_set_ratio") {
  const FuzzyText empty, also_empty(""), space("  "), word("a");
  CHECK(ratio(empty, also_empty) == 100);
  CHECK(partial_ratio(empty, also_empty) == 100);
  CHECK(token_sort_ratio(empty, space) == 100);
  CHECK(token_set_ratio(empty, also_empty) == 0);
  CHECK(token_set_ratio(space, word) == 0);
  CHECK(ratio(empty, word) == 0);
  CHECK(partial_ratio(word, empty) == 0);
}

TEST_CASE("a text whose words all stand in the other has token_set_ratio 100, whatever their order and number") {
  CHECK(set_ratio("printer is broken broken", "the broken printer is on fire") == 100);
  CHECK(set_ratio("b a", "a b b a") == 100);
}

TEST_CASE("wrong UTF-8 counts as U+FFFD") {
  CHECK(ratio(FuzzyText("a\xFF"), FuzzyText("a\xEF\xBF\xBD")) == 100);
  CHECK(ratio(FuzzyText("\xE6\x97"), FuzzyText("\xEF\xBF\xBD")) == 100);
  CHECK(FuzzyText("\xC3\x28\xE2\x82").characters().size() == 3);
}

TEST_CASE("a no-break space parts words only in a text with characters beyond U+00FF, as in rapidfuzz") {
  CHECK(FuzzyText("a\xC2\xA0"
                  "b")
            .words()
            .size() == 1);
  CHECK(FuzzyText("a\xC2\xA0"
                  "b \xE2\x82\xAC")
            .words()
            .size() == 3);
}

TEST_CASE("words are sorted by code points beyond their first eight characters, and counted") {
  const FuzzyText text(
      "zeta abcdefghij abcdefghii \xC3\xBF\xC3\xBF"
      "b \xC4\x80"
      "a \xC3\xBF\xC3\xBF"
      "a zeta");
  std::string order;
  for (const auto& word : text.words()) {
    for (const auto character : text.characters(word))
      order += character < 0x80 ? static_cast<char>(character) : character < 0x100 ? '#' : '*';
    order += ' ';
  }
  CHECK(order == "abcdefghii abcdefghij zeta ##a ##b *a ");
  CHECK(text.words()[2].count == 2);
}

TEST_CASE("a value below the cutoff is 0, one at it is kept") {
  const FuzzyText a("the printer is broken"), b("the scanner is mended"), c("x");
  using Measure = double (*)(const FuzzyText&, const FuzzyText&, double);
  for (const Measure measure : {&ratio, &partial_ratio, &token_sort_ratio, &token_set_ratio}) {
    const double value = measure(a, b, 0);
    CHECK(value > 0);
    CHECK(measure(a, b, value) == value);
    CHECK(measure(a, b, value + 1e-9) == 0);
    CHECK(measure(a, c, 99) == 0);
    CHECK(measure(a, a, 100) == 100);
    CHECK(measure(a, a, 100.5) == 0);
  }
}
