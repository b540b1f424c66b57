#include "deskhand/report/report.h"

#include <doctest/doctest.h>

#include <fstream>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/report/page.h"
#include "deskhand/report/testing.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

std::string refusal(auto&& work) {
  try {
    work();
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kCannotWrite);
    return error.what();
  }
  return "";
}

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

void put(const fs::path& path, std::string_view text) {
  std::ofstream(path) << text;
}

Json data_of(std::string text) {
  text.erase(0, std::string_view("globalThis.deskhandReport = ").size());
  text.erase(text.size() - 2);
  return parse_json(text, "data.js");
}

TEST_CASE("a report is there whole, and is replaced with force only") {
  TemporaryFolder folder;
  const fs::path place = folder.path() / "made" / "report";
  const auto made = testing::made_up({.tickets = 12, .splits = 1});
  write_report(place, made.evaluation, made.records);
  for (const char* name : {"index.html", "report.css", "report.js", "data.js", "report.md", "metrics.json", "charts/radar.svg"})
    CHECK(fs::file_size(place / name) > 0);
  CHECK(write_evaluation(read_evaluation(read_text_file(place / "metrics.json"), "m")) == write_evaluation(made.evaluation));
  CHECK(holds(refusal([&] { write_report(place, made.evaluation, made.records); }), "--force"));
  put(place / "charts" / "left-over.svg", "<svg/>");
  write_report(place, made.evaluation, made.records, {.force = true});
  CHECK_FALSE(fs::exists(place / "charts" / "left-over.svg"));
  CHECK(std::distance(fs::directory_iterator(place.parent_path()), fs::directory_iterator()) == 1);  // nothing is left beside it
}

TEST_CASE("force replaces nothing but a report") {
  TemporaryFolder folder;
  const auto made = testing::made_up({.tickets = 3, .splits = 1});
  const auto write = [&](const fs::path& place) {
    return refusal([&] { write_report(place, made.evaluation, made.records, {.force = true}); });
  };
  const fs::path other = folder.path() / "other", report = folder.path() / "report", file = folder.path() / "file";
  fs::create_directories(other);
  put(other / "thesis.tex", "years of work");
  CHECK(holds(write(other), "not a report"));
  CHECK(read_text_file(other / "thesis.tex") == "years of work");
  CHECK(write(report) == "");
  put(report / "notes.txt", "mine");
  CHECK(holds(write(report), "'notes.txt', which no report writes"));
  CHECK(read_text_file(report / "notes.txt") == "mine");
  put(file, "text");
  CHECK(holds(write(file), "is a file"));
  CHECK(holds(write(file / "below"), "cannot write the report"));
  fs::create_directories(folder.path() / "empty");
  CHECK(write((folder.path() / "empty").string() + "/") == "");  // nothing is lost
  CHECK(fs::exists(folder.path() / "empty" / "index.html"));
}

TEST_CASE("texts of tickets and cases stand in the data, or nowhere if they are left out") {
  const auto made = testing::made_up({.tickets = 45, .splits = 1});
  const std::string with = report_data(made.evaluation, made.records, true), without = report_data(made.evaluation, made.records, false);
  for (const char* text : {"does not respond", "Restarted the service", "A past problem", "What solved", "Restart the service"}) {
    CHECK(holds(with, text));
    CHECK_FALSE(holds(without, text));
  }
  CHECK(data_of(without)["splits"][0]["tickets"]["id"].size() == 45);
}

TEST_CASE("data.js can end no script, hides no character and has null where a value is not defined") {
  const auto made = testing::made_up({.tickets = 45, .splits = 1});
  const std::string data = report_data(made.evaluation, made.records, true);
  for (const char* part : {"<", ">", "&", "\xE2\x80\xA8", "\xE2\x80\xAE", "\x1b", "\xFF"}) CHECK_FALSE(holds(data, part));
  const Json json = data_of(data);
  CHECK(json["splits"][0]["systems"][5]["values"][6][0].is_null());
  CHECK(json["splits"][0]["systems"][5]["estimates"][6] == "the system gives no resolution");
}

TEST_CASE("a case found for many tickets and systems is written once") {
  const auto made = testing::made_up({.tickets = 300, .hostile = false, .splits = 1});
  const Json json = data_of(report_data(made.evaluation, made.records, true));
  CHECK(json["cases"].size() <= 8 * 300);
  std::size_t texts = 0;
  for (const Json& text : json["texts"]) texts += text.get<std::string>().starts_with("What solved case") ? 1 : 0;
  CHECK(texts <= 300);
}

TEST_CASE("predictions that are missing, double or for unknown tickets leave gaps, no wrong rows") {
  auto made = testing::made_up({.tickets = 4, .splits = 1});
  auto& predictions = made.records[0].systems[0].predictions;
  const int first_urgency = predictions[1].urgency;
  predictions.push_back(predictions[1]);
  predictions.back().urgency = 9;
  predictions[3].ticket_id = "unknown";
  predictions.erase(predictions.begin());
  const Json answers = data_of(report_data(made.evaluation, made.records, true))["splits"][0]["systems"][0]["answers"];
  CHECK(answers["urgency"][0].is_null());
  CHECK(answers["urgency"][1] == first_urgency);
  CHECK(answers["urgency"][3].is_null());
  CHECK(answers["cases"][3].empty());
}

TEST_CASE("without records the report has figures but no answers") {
  const auto made = testing::made_up({.tickets = 6, .splits = 1});
  const Json json = data_of(report_data(made.evaluation, {}, true));
  CHECK(json["splits"][0]["systems"][0]["answers"].is_null());
  CHECK(json["splits"][0]["tickets"]["id"].size() == 6);
  CHECK(json["splits"][0]["systems"][0]["values"][0][0].is_number());
}

TEST_CASE("the first finding begins page, markdown and terminal text") {
  auto made = testing::made_up({.tickets = 30, .splits = 1});
  made.evaluation.findings = {"A cheap baseline wins."};
  const std::string page = report_page(made.evaluation, made.records, {}, {});
  CHECK(page.find("A cheap baseline wins.") < page.find("class=\"cards\""));
  CHECK(summary_text(made.evaluation).starts_with("A cheap baseline wins.\n"));
  CHECK(holds(report_markdown(made.evaluation, {}, {}), "# First measurement\n\nA cheap baseline wins."));
  made.evaluation.findings.clear();
  CHECK(holds(first_sentence(made.evaluation), "the best baseline"));
}

TEST_CASE("an evaluation of nothing says so") {
  const Evaluation nothing;
  CHECK(summary_text(nothing) == "Nothing was measured.\n");
  CHECK(holds(report_page(nothing, {}, {}, {}), "Nothing was measured."));
  Evaluation no_system;
  no_system.splits.push_back({.name = "desk"});
  CHECK(holds(summary_text(no_system), "No system was measured."));
  CHECK(holds(report_page(no_system, {}, {}, {}), "No system was measured."));
}

TEST_CASE("terminal text keeps to its width, to ASCII if asked, and has no escape sequence") {
  auto made = testing::made_up({.tickets = 40});
  made.evaluation.splits[0].systems[0].identity.name = "evil \x1b[2J\x07 näme";
  for (const int width : {80, 120}) {
    const std::string text = summary_text(made.evaluation, {.width = width, .all_measures = true, .unicode = false});
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin))
      CHECK(end - begin <= static_cast<std::size_t>(width));
    for (const char c : text) CHECK((c == '\n' || (c >= ' ' && c < 0x7F)));
  }
  CHECK_FALSE(holds(summary_text(made.evaluation), "\x1b"));
  CHECK(holds(summary_text(made.evaluation), "not defined: the system gives no resolution"));
}

TEST_CASE("a comparison says which changes matter and names both sides") {
  const auto a = testing::made_up({.tickets = 40}), b = testing::made_up({.tickets = 40, .seed = 2});
  // Field by field: GCC 12 takes the strings of a braced Difference for uninitialised.
  const auto difference = [](const char* measure, Estimate estimate, const char* verdict) {
    Difference made;
    made.a = made.b = "raw";
    made.measure = measure;
    made.matters = estimate.value.has_value();
    if (made.matters) made.p = 0.01;
    made.difference = std::move(estimate);
    made.verdict = verdict;
    return made;
  };
  std::vector<Difference> differences = {difference("category_accuracy", {0.1, 0.02, 0.18, ""}, "better"),
                                         difference("seconds", {0.5, 0.2, 0.8, ""}, "worse"),
                                         difference("resolution_cosine", {.undefined = "no resolutions"}, "cannot tell")};
  differences[0].mcnemar_p = 0.02;
  differences[0].only_a = 1;
  differences[0].only_b = 5;
  const std::string text = comparison_text(a.evaluation, b.evaluation, differences);
  CHECK(text.starts_with("1 difference is better and 1 worse by more than chance; 0 cannot be told."));
  CHECK(holds(text, "Category accuracy: B: raw is better than A: raw by +10.0 points (+2.0 to +18.0 points)."));
  CHECK(comparison_text(a.evaluation, b.evaluation, {}).starts_with("The two evaluations have no system and ticket in common"));
  TemporaryFolder folder;
  write_comparison(folder.path() / "c", a.evaluation, b.evaluation, differences);
  const Json json = parse_json(read_text_file(folder.path() / "c" / "metrics.json"), "metrics.json");
  CHECK(json["differences"][1]["a"] == "raw");
  CHECK(json["b"]["seed"] == 42);
  CHECK(holds(refusal([&] { write_comparison(folder.path() / "c", a.evaluation, b.evaluation, differences); }), "--force"));
}

}  // namespace
}  // namespace deskhand
