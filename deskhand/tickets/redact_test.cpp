// Redaction on passages with everything that must go marked by hand: <<name|Anna Schmidt>>.
#include "deskhand/tickets/redact.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/redact_checks.h"

using namespace deskhand;

namespace {

using Kind = PersonalKind;

struct Passage {
  std::string text;
  std::vector<PersonalPlace> marked;
};

Kind kind_of(std::string_view name) {
  for (std::size_t kind = 0; kind < kPersonalKinds; ++kind)
    if (name_of(static_cast<Kind>(kind)) == name) return static_cast<Kind>(kind);
  FAIL("no kind ", std::string(name));
  return Kind::kCount;
}

std::vector<Passage> read_passages(const std::string& name) {
  const std::string all = read_text_file(std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/redact" / (name + ".txt"));
  std::vector<Passage> passages;
  for (std::size_t at = 0; at < all.size();) {
    const auto end = std::min(all.find("\n%%\n", at), all.size());
    const auto marked = std::string_view(all).substr(at, end - at);
    Passage passage;
    for (std::size_t i = 0; i < marked.size();) {
      const auto bar = marked.find('|', i), close = marked.find(">>", i);
      if (marked.substr(i, 2) == "<<" && marked[i + 2] != '<' && bar < close) {
        const auto begin = passage.text.size();
        passage.text += marked.substr(bar + 1, close - bar - 1);
        passage.marked.push_back({begin, passage.text.size(), kind_of(marked.substr(i + 2, bar - i - 2)), {}});
        i = close + 2;
      } else {
        passage.text += marked[i++];
      }
    }
    passages.push_back(std::move(passage));
    at = end + 4;
  }
  return passages;
}

struct Score {
  int marked = 0, found = 0, reported = 0, right = 0;
  double recall() const { return marked ? static_cast<double>(found) / marked : 1; }
  double precision() const { return reported ? static_cast<double>(right) / reported : 1; }
};

// A marked place counts as found if all of it is covered by places of its kind; a place is right if half of it or more is marked as that
// kind.
std::array<Score, kPersonalKinds> score(const std::vector<Passage>& passages, bool show) {
  std::array<Score, kPersonalKinds> scores;
  Redactor redactor(RedactSettings::all());
  for (const auto& passage : passages) {
    redactor.begin_ticket();
    redactor.learn(passage.text);
    const auto places = redactor.find(passage.text);
    const auto covered = [](const PersonalPlace& one, const std::vector<PersonalPlace>& by) {
      std::size_t bytes = 0;
      for (const auto& other : by)
        if (other.kind == one.kind && other.begin < one.end && one.begin < other.end)
          bytes += std::min(one.end, other.end) - std::max(one.begin, other.begin);
      return bytes;
    };
    const auto value = [&](const PersonalPlace& place) { return passage.text.substr(place.begin, place.end - place.begin); };
    for (const auto& one : passage.marked) {
      auto& score = scores[static_cast<std::size_t>(one.kind)];
      ++score.marked;
      const bool found = covered(one, places) == one.end - one.begin;
      score.found += found;
      if (!found && show) MESSAGE("missed ", std::string(name_of(one.kind)), ": ", value(one), "   in: ", passage.text);
    }
    for (const auto& one : places) {
      auto& score = scores[static_cast<std::size_t>(one.kind)];
      ++score.reported;
      const bool right = 2 * covered(one, passage.marked) >= one.end - one.begin;
      score.right += right;
      if (!right && show) MESSAGE("wrong ", std::string(name_of(one.kind)), ": ", value(one), "   in: ", passage.text);
    }
  }
  return scores;
}

void check_passages(const std::string& name) {
  const auto passages = read_passages(name);
  CHECK(passages.size() == 150);
  const auto scores = score(passages, std::getenv("DESKHAND_SHOW_REDACTION") != nullptr);
  std::string table = name + ":";
  for (std::size_t kind = 0; kind + 1 < kPersonalKinds; ++kind) {
    const auto& s = scores[kind];
    table += fmt::format("\n  {:<12} {:>3} marked, recall {:.3f}, precision {:.3f}", name_of(static_cast<Kind>(kind)), s.marked, s.recall(),
                         s.precision());
  }
  MESSAGE(table);
  for (const Kind kind :
       {Kind::kEmail, Kind::kIban, Kind::kCard, Kind::kIp, Kind::kMac, Kind::kCredential, Kind::kVat, Kind::kNationalId}) {
    CAPTURE(std::string(name_of(kind)));
    CHECK(scores[static_cast<std::size_t>(kind)].recall() >= 0.98);
    CHECK(scores[static_cast<std::size_t>(kind)].precision() >= 0.95);
  }
  for (const Kind kind : {Kind::kPhone, Kind::kAddress, Kind::kName}) {
    CAPTURE(std::string(name_of(kind)));
    CHECK(scores[static_cast<std::size_t>(kind)].recall() >= 0.90);
    CHECK(scores[static_cast<std::size_t>(kind)].precision() >= 0.95);
  }
}

}  // namespace

TEST_CASE("what must go is found in the passages the rules were made with") {
  check_passages("development");
}
TEST_CASE("what must go is found in passages that no rule was made with") {
  check_passages("held_out");
}

TEST_CASE("a person has one mark in all texts of a ticket, and another ticket begins at 1 again") {
  Redactor redactor(RedactSettings::all());
  const std::string mail = "the label is blank\n\nKind regards\nZwentibold Quitzow\nzwentibold@quitzow.example";
  const std::string note = "Called Quitzow, he says mail to ZWENTIBOLD@quitzow.example bounces. Told Anna.";
  redactor.begin_ticket();
  for (const auto& text : {mail, note}) redactor.learn(text);
  CHECK(redactor.redact(note) == "Called [NAME_1], he says mail to [EMAIL_1] bounces. Told [NAME_2].");
  CHECK(redactor.redact(mail) == "the label is blank\n\nKind regards\n[NAME_1]\n[EMAIL_1]");
  CHECK(redactor.marks().at("NAME_1") == std::vector<std::string>{"Quitzow", "Zwentibold Quitzow"});
  redactor.begin_ticket();
  CHECK(redactor.redact("Quitzow asked Anna") == "Quitzow asked [NAME_1]");  // nothing here says that he is one
  CHECK(redactor.counts().places[static_cast<std::size_t>(Kind::kName)] == 4);
}

TEST_CASE("redacting twice changes nothing, and marks that are there are not given to others") {
  Redactor redactor(RedactSettings::all());
  redactor.begin_ticket();
  const std::string once = "[NAME_3] wrote from [IP_1], [REDACTED_NAME] answered.";
  redactor.learn(once);
  CHECK(redactor.redact(once) == once);
  CHECK(redactor.redact("Hi Anna,") == "Hi [NAME_4],");
}

TEST_CASE("only the kinds that were asked for are replaced; a desk's own names, words and patterns count") {
  RedactSettings settings;
  settings.kinds[static_cast<std::size_t>(Kind::kEmail)] = true;
  CHECK(Redactor(settings).redact("Hi Anna, a@b.example from 10.0.0.7") == "Hi Anna, [EMAIL_1] from 10.0.0.7");
  settings = RedactSettings::all();
  settings.names = {"Xuthos Brabbel"};
  settings.keep = {"Anna"};
  settings.patterns = {{"CUSTOMER", R"(\bC-\d{6}\b)"}};
  CHECK(Redactor(settings).redact("Brabbel opened Anna 3.1 for c-004711 and C-004711, not C-004712") ==
        "[NAME_1] opened Anna 3.1 for [CUSTOMER_1] and [CUSTOMER_1], not [CUSTOMER_2]");
  CHECK_FALSE(RedactSettings().any());
  CHECK(Redactor(RedactSettings()).redact("a@b.example") == "a@b.example");
  settings.patterns = {{"CUSTOMER", "("}};
  CHECK_THROWS_WITH_AS(Redactor{settings}, doctest::Contains("is no regular expression"), Error);
  settings.patterns = {{"Customer 1", "x"}};
  CHECK_THROWS_AS(Redactor{settings}, Error);
}

TEST_CASE("one digit wrong and a number that carries a check is none") {
  Redactor redactor(RedactSettings::all());
  for (const auto& [right, mark] : {std::pair<std::string, std::string>{"DE89370400440532013000", "[IBAN_1]"},
                                    {"4111111111111111", "[CARD_1]"},
                                    {"DE136695976", "[VAT_1]"},
                                    {"ATU13585627", "[VAT_1]"},
                                    {"FR83404833048", "[VAT_1]"},
                                    {"NL004495445B01", "[VAT_1]"},
                                    {"IT00743110157", "[VAT_1]"},
                                    {"PL8567346215", "[VAT_1]"},
                                    {"BE0428759497", "[VAT_1]"},
                                    {"DK13585628", "[VAT_1]"},
                                    {"FI20774740", "[VAT_1]"},
                                    {"SE123456789701", "[VAT_1]"},
                                    {"PT501964843", "[VAT_1]"},
                                    {"LU15027442", "[VAT_1]"},
                                    {"ESA28015865", "[VAT_1]"},
                                    {"IE6433435F", "[VAT_1]"},
                                    {"GB980780684", "[VAT_1]"},
                                    {"HU12892312", "[VAT_1]"},
                                    {"SI50223054", "[VAT_1]"},
                                    {"SK2022749619", "[VAT_1]"},
                                    {"EL094259216", "[VAT_1]"},
                                    {"HR33392005961", "[VAT_1]"},
                                    {"EE100931558", "[VAT_1]"},
                                    {"MT11679112", "[VAT_1]"},
                                    {"RSSMRA85T10A562S", "[NATIONAL_ID_1]"},
                                    {"12345678Z", "[NATIONAL_ID_1]"}}) {
    CAPTURE(right);
    redactor.begin_ticket();
    CHECK(redactor.redact("see " + right + ".") == "see " + mark + ".");
    std::string wrong = right;  // a digit from the middle on: some begin or end with letters
    for (std::size_t i = wrong.size() / 2; i < wrong.size(); ++i)
      if (wrong[i] >= '0' && wrong[i] <= '9') {
        wrong[i] = static_cast<char>(wrong[i] == '9' ? '0' : wrong[i] + 1);
        break;
      }
    redactor.begin_ticket();
    CHECK(redactor.redact("see " + wrong + ".") == "see " + wrong + ".");
  }
}

TEST_CASE("a text of any bytes is redacted without harm") {
  Redactor redactor(RedactSettings::all());
  for (const std::string& text : {std::string("\xFF\xFE anna@x.example \xC3"), std::string(200000, '1'), std::string(100000, '@'),
                                  std::string(50000, ':'), std::string("\0 Hi Anna\0", 10), std::string("+"), std::string("Hi ")}) {
    redactor.begin_ticket();
    redactor.learn(text);
    CHECK(redactor.redact(text).size() >= text.size() / 8);
  }
}
