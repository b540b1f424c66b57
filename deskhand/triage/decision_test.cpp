#include "deskhand/triage/decision.h"

#include <doctest/doctest.h>

#include "deskhand/base/json.h"

namespace deskhand {
namespace {

DecisionCase past(std::string id, std::string resolution) {
  return {.found = {.ticket_id = std::move(id),
                    .problem = "Invoice run hangs",
                    .resolution = std::move(resolution),
                    .urgency = 2,
                    .category = "Sales Orders"},
          .similarity = 0.83,
          .is_shown = true};
}

Decision sample() {
  Decision decision;
  decision.query = "SOP310 hangs, \"60%\"";
  decision.urgency = 2;
  decision.category = "Sales Orders";
  decision.resolution = "End the session in SYS040. Tell the moon.";
  decision.resolution_source = ResolutionSource::kModel;
  decision.urgencies = {{"1", 0.1}, {"2", 0.7}, {"3", 0.2}, {"4", 0}, {"5", 0}};
  decision.categories = {{"Sales Orders", 0.9}, {"Finance", 0.1}};
  decision.urgency_confidence = 0.7;
  decision.category_confidence = 0.9;
  decision.cases = {past("T1", "Cleared the print queue."), past("T2", "Ended the open session in SYS040, the lock went.")};
  decision.avg_similarity = 0.83;
  decision.support = find_support(decision.resolution, decision.cases);
  return decision;
}

std::string fault(std::string_view reply) {
  const auto read = read_decision(reply);
  return read ? "read" : read.error().what;
}

}  // namespace

TEST_CASE("a reply is read with prose around it, braces inside strings and keys in another spelling") {
  const auto read =
      read_decision(R"(Sure! {"Urgency Code": 3, "Category": "Sales {Orders}", "Resolution": "Run \"X}\" again."} Hope {that} helps.)");
  REQUIRE(read);
  CHECK(read->urgency == 3);
  CHECK(read->category == "Sales {Orders}");
  CHECK(read->resolution == "Run \"X}\" again.");
  const auto loose =
      read_decision("```json\n{\"urgency\": \"4 - minor\", \"CATEGORY\": \"Finance\", \"resolution\": \"\", \"note\": {\"a\": [1]}}\n```");
  REQUIRE(loose);
  CHECK(loose->urgency == 4);
  CHECK(loose->resolution.empty());
}

TEST_CASE("a broken object before a good one is passed over") {
  CHECK(read_decision(R"({not json} then {"Urgency Code": 1, "Category": "A", "Resolution": "B"})").has_value());
  CHECK(read_decision(R"(unclosed { and {"Urgency Code": 1, "Category": "A", "Resolution": "B"})").has_value());
}

TEST_CASE("a reply without what was asked says what is wrong with it") {
  CHECK(fault("The customer should restart.") == "No JSON found");
  CHECK(fault("") == "No JSON found");
  CHECK(fault(R"({"Urgency Code": 3, "Category": "cut of)") == "No JSON found");
  CHECK(fault("{'Urgency Code': 3}").find("not valid JSON") != std::string::npos);
  CHECK(fault(R"({"Category": "A", "Resolution": "B"})") == "\"Urgency Code\" is missing");
  CHECK(fault(R"({"Urgency Code": 7, "Category": "A", "Resolution": "B"})") == "\"Urgency Code\" is 7, 1 to 5 was wanted");
  CHECK(fault(R"({"Urgency Code": 2.5, "Category": "A", "Resolution": "B"})").find("2.5") != std::string::npos);
  CHECK(fault(R"({"Urgency Code": "12", "Category": "A", "Resolution": "B"})").find("12") != std::string::npos);
  CHECK(fault(R"({"Urgency Code": 2, "Category": null, "Resolution": "B"})").find("Category") != std::string::npos);
  CHECK(fault(R"({"Urgency Code": 2, "Category": "A"})") == "\"Resolution\" is missing");
}

TEST_CASE("hostile replies end soon and in a fault") {
  CHECK_FALSE(read_decision(std::string(1 << 20, '{')).has_value());
  CHECK_FALSE(read_decision(std::string(100000, '{') + std::string(100000, '}')).has_value());
  CHECK_FALSE(read_decision(R"({"Urgency Code": 1e400, "Category": "A", "Resolution": "B"})").has_value());
  CHECK_FALSE(read_decision("{\"Urgency Code\": 1, \"Category\": \"\xff\", \"Resolution\": \"B\"}").has_value());
}

TEST_CASE("a sentence leans on the case that holds its words, and on none if no case does") {
  const Decision decision = sample();
  REQUIRE(decision.support.size() == 2);
  CHECK(decision.support[0].case_number == 2);
  CHECK(decision.support[1].case_number == 0);
  CHECK(decision.support[0].overlap > decision.support[1].overlap);
  CHECK(find_support("Anything.", {}).at(0).case_number == 0);
  CHECK(find_support("", decision.cases).empty());
}

TEST_CASE("the text for people names labels, cases and citations, and is plain unless colour is asked for") {
  Decision decision = sample();
  decision.resolution += "\x1b[31m";
  decision.support.clear();
  decision.warnings = {"No precedent."};
  const std::string text = text_of(decision);
  CHECK(text.find("Urgency     2              70 %   (3 20 %, 1 10 %)") != std::string::npos);
  CHECK(text.find("Category    Sales Orders   90 %   (Finance 10 %)") != std::string::npos);
  CHECK(text.find("[2] T2  0.83  Sales Orders, urgency 2") != std::string::npos);
  CHECK(text.find("! No precedent.") != std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text_of(sample()).find("End the session in SYS040. [2] Tell the moon.") != std::string::npos);
  CHECK(text_of(sample(), {.colour = true}).find("\x1b[1m") != std::string::npos);
}

TEST_CASE("lines of the text keep to the width") {
  Decision decision = sample();
  decision.support.clear();
  decision.resolution = "";
  for (int i = 0; i < 60; ++i) decision.resolution += "größer ";
  std::size_t longest = 0, begin = 0;
  const std::string text = text_of(decision, {.width = 60});
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const auto line = text.substr(begin, end - begin);
    longest = std::max<std::size_t>(longest, std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  }
  CHECK(longest <= 60);
  CHECK(longest > 50);
}

TEST_CASE("a line of JSON can be read again with everything in it") {
  const std::string line = jsonl_of(sample());
  CHECK(line.find('\n') == std::string::npos);
  const Json json = parse_json(line, "line");
  CHECK(write_json(json["answer"]).starts_with(R"({"Urgency Code":2,"Category":)"));
  CHECK(json["answer"].size() == 3);
  CHECK(json["urgency"] == 2);
  CHECK(json["urgencies"]["2"] == 0.7);
  CHECK(json["cases"][1]["ticket"] == "T2");
  CHECK(json["support"][0]["case"] == 2);
}

TEST_CASE("a CSV row has the header's columns, the seed's first, and its answer reads back") {
  const auto header = csv_header(), row = csv_of(sample());
  CHECK(header.starts_with("query,retrieved_cases,similarities,avg_similarity,answer,"));
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (const char c : row) {
    if (c == '"')
      quoted = !quoted, cells.back() += c;
    else if (c == ',' && !quoted)
      cells.emplace_back();
    else
      cells.back() += c;
  }
  CHECK(cells.size() == static_cast<std::size_t>(std::count(header.begin(), header.end(), ',')) + 1);
  CHECK(cells[0] == R"("SOP310 hangs, ""60%""")");
  CHECK(cells[3] == "0.8300");
  std::string answer;
  for (std::size_t i = 1; i + 1 < cells[4].size(); ++i) {
    answer += cells[4][i];
    if (cells[4][i] == '"') ++i;
  }
  const auto read = read_decision(answer);
  REQUIRE(read);
  CHECK(read->category == "Sales Orders");
}

}  // namespace deskhand
