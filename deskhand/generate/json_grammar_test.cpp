#include "deskhand/generate/json_grammar.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/generate/test_vocabulary.h"

namespace deskhand {
namespace {

using Kind = AnswerField::Kind;

AnswerSchema seed_schema(std::vector<std::string> urgencies = {"1", "2", "3", "4", "5"},
                         std::vector<std::string> categories = {"Sales", "Sales Orders", "Network", "Other"},
                         std::int32_t max_bytes = 400) {
  return {{{"Urgency Code", Kind::kInteger, std::move(urgencies)},
           {"Category", Kind::kLabel, std::move(categories)},
           {"Resolution", Kind::kText, {}, max_bytes}}};
}

bool writes(const JsonGrammar& grammar, std::string_view text) {
  auto at = grammar.start();
  return grammar.advance(at, text) && grammar.is_complete(at);
}

std::vector<std::int32_t> listed(const TokenMask& mask) {
  std::vector<std::int32_t> out;
  mask.for_each([&](std::int32_t token) { out.push_back(token); });
  return out;
}

// Writes with tokens drawn evenly from what is allowed.
std::string babble(const JsonGrammar& grammar, std::int32_t budget, std::mt19937& random, std::int32_t* used = nullptr) {
  auto at = grammar.start();
  std::string text;
  std::int32_t left = budget;
  while (!grammar.is_complete(at)) {
    const auto options = listed(*grammar.allowed(at, left));
    REQUIRE(!options.empty());
    const auto token = options[random() % options.size()];
    REQUIRE(grammar.advance(at, token));
    text += grammar.tokens().bytes(token);
    --left;
  }
  if (used != nullptr) *used = budget - left;
  return text;
}

TEST_CASE("the seed's object is written in its own spacing and nothing else is") {
  const JsonGrammar grammar(seed_schema(), test_vocabulary());
  CHECK(writes(grammar, R"({"Urgency Code": 3, "Category": "Sales Orders", "Resolution": "See \"it\" at C:\\finance.\n\u00e9 é 😀"})"));
  CHECK(writes(grammar, R"({"Urgency Code": 1, "Category": "Sales", "Resolution": "}"})"));
  for (const char* wrong :
       {R"({"Urgency Code": 6, "Category": "Sales", "Resolution": "x"})", R"({"Urgency Code": 33, "Category": "Sales", "Resolution": "x"})",
        R"({"Urgency Code": "3", "Category": "Sales", "Resolution": "x"})", R"({"Urgency Code":3, "Category": "Sales", "Resolution": "x"})",
        R"({"Urgency Code": 3, "Category": "Sales Or", "Resolution": "x"})",
        R"({"Urgency Code": 3, "Category": "Sales", "Resolution": ""})", R"({"Urgency Code": 3, "Category": "Sales", "Resolution": " x"})",
        R"({"Urgency Code": 3, "Category": "Sales", "Resolution": "x"} )", R"({"Urgency Code": 3, "Resolution": "x", "Category": "Sales"})",
        R"({"Urgency Code": 3, "Category": "Sales", "Resolution": "\x"})",
        R"({"Urgency Code": 3, "Category": "Sales", "Resolution": "\ud83d"})",
        R"({"Urgency Code": 3, "Category": "Sales", "Resolution": "\u0000"})",
        "{\"Urgency Code\": 3, \"Category\": \"Sales\", \"Resolution\": \"a\nb\"}",
        "{\"Urgency Code\": 3, \"Category\": \"Sales\", \"Resolution\": \"\xc3\"}",
        "{\"Urgency Code\": 3, \"Category\": \"Sales\", \"Resolution\": \"\xc0\xaf\"}",
        "{\"Urgency Code\": 3, \"Category\": \"Sales\", \"Resolution\": \"\xed\xa0\x80\"}"})
    CHECK_MESSAGE(!writes(grammar, wrong), wrong);
}

TEST_CASE("whatever is drawn from the allowed tokens is valid JSON with labels of the schema, within the tokens and bytes given") {
  std::mt19937 random(7);
  std::vector<std::string> labels = {"a",     "ab",   "abc",  "Sales", "Sales Orders",           "say \"hi\"", "C:\\temp\\",
                                     "Größe", "電話", "a\nb", "{\"",   "\", \"Resolution\": \"", "😀"};
  for (const std::int32_t max_bytes : {1, 2, 7, 60}) {
    const JsonGrammar grammar(seed_schema({"1", "10", "100", "-5"}, labels, max_bytes), test_vocabulary());
    const std::int32_t least = grammar.tokens_to_close(grammar.start());
    for (const std::int32_t more : {0, 1, 2, 3, 9, 200})
      for (int round = 0; round < 60; ++round) {
        std::int32_t used = 0;
        const std::string text = babble(grammar, least + more, random, &used);
        CHECK(used <= least + more);
        const Json json = parse_json(text, "answer");
        CHECK(json.size() == 3);
        CHECK(std::set<int>{1, 10, 100, -5}.count(json["Urgency Code"].get<int>()) == 1);
        CHECK(std::find(labels.begin(), labels.end(), json["Category"].get<std::string>()) != labels.end());
        CHECK(!json["Resolution"].get<std::string>().empty());
        CHECK(text.size() - text.find("\"Resolution\": \"") - 15 - 2 <= static_cast<std::size_t>(max_bytes));
      }
  }
}

TEST_CASE("the mask of every state that is met is exactly what trying each token allows") {
  std::mt19937 random(3);
  const JsonGrammar grammar(seed_schema(), test_vocabulary());
  for (int round = 0; round < 20; ++round) {
    auto at = grammar.start();
    std::int32_t left = 80;
    while (!grammar.is_complete(at)) {
      const auto mask = grammar.allowed(at, left);
      for (std::int32_t token = 0; token < grammar.tokens().size(); ++token) {
        auto after = at;
        const bool possible = grammar.advance(after, token);
        CHECK(mask->allows(token) == (possible && 1 + grammar.tokens_to_close(after) <= left));
      }
      const auto options = listed(*mask);
      REQUIRE(grammar.advance(at, options[random() % options.size()]));
      --left;
    }
  }
}

TEST_CASE("the number of tokens to close is the smallest that any way out takes") {
  const JsonGrammar grammar(seed_schema({"1"}, {"Network"}), test_vocabulary());
  // {" Urgency " " Code ": " " 1 , ... by breadth first search over (state) with text of at most one byte
  std::vector<JsonGrammar::State> front{grammar.start()};
  std::int32_t steps = 0;
  for (bool done = false; !done; ++steps) {
    std::vector<JsonGrammar::State> next;
    std::set<std::tuple<int, int, int>> seen;
    for (const auto& at : front)
      for (const auto token : listed(*grammar.allowed(at))) {
        auto after = at;
        grammar.advance(after, token);
        if (after.text_bytes > 1) continue;
        done |= grammar.is_complete(after);
        if (seen.insert({after.node, after.text, after.text_bytes}).second) next.push_back(after);
      }
    front = std::move(next);
  }
  CHECK(grammar.tokens_to_close(grammar.start()) == steps);
}

TEST_CASE("forced text runs up to the next choice, spelled as the tokenizer spells it") {
  const JsonGrammar grammar(seed_schema(), test_vocabulary());
  auto at = grammar.start();
  CHECK(grammar.forced_bytes(at) == "{\"Urgency Code\": ");
  const auto tokens = grammar.forced(at);
  CHECK(tokens == grammar.tokens().spell("{\"Urgency Code\": "));
  for (const auto token : tokens) REQUIRE(grammar.advance(at, token));
  CHECK(grammar.is_choice(at));
  CHECK(grammar.forced(at).empty());
  REQUIRE(grammar.advance(at, "4"));
  CHECK(grammar.forced_bytes(at) == ", \"Category\": \"");
  REQUIRE(grammar.advance(at, ", \"Category\": \"N"));
  CHECK(grammar.forced_bytes(at) == "etwork\", \"Resolution\": \"");
  REQUIRE(grammar.advance(at, "etwork\", \"Resolution\": \"Check"));
  CHECK(grammar.closing(at) == grammar.tokens().spell("\"}"));
}

TEST_CASE("a choice of one label is forced") {
  const JsonGrammar grammar(seed_schema({"2"}, {"Only"}), test_vocabulary());
  CHECK(grammar.forced_bytes(grammar.start()) == R"({"Urgency Code": 2, "Category": "Only", "Resolution": ")");
}

TEST_CASE("where a label's first token takes the quote before it, the quote is left to the labels") {
  const JsonGrammar grammar(seed_schema({"1", "2"}, {"(none)", "Network"}), test_vocabulary());
  const std::vector<std::int32_t> labels{1};
  CHECK(grammar.text_before(1, labels) == R"({"Urgency Code": 2, "Category": ")");
  CHECK(grammar.stem_before(1, labels) == R"({"Urgency Code": 2, "Category":)");
  auto at = grammar.start();
  REQUIRE(grammar.advance(at, "{\"Urgency Code\": 2"));
  CHECK(grammar.tokens().text(grammar.forced(at)) == R"(, "Category":)");
}

TEST_CASE("two hundred labels compile and are each written") {
  std::vector<std::string> labels;
  for (int i = 0; i < 200; ++i) labels.push_back("Module " + std::to_string(i * 37 % 1000) + (i % 3 == 0 ? " Änderung" : ""));
  const JsonGrammar grammar(seed_schema({"1", "2"}, labels), test_vocabulary());
  for (const auto& label : labels) CHECK(writes(grammar, "{\"Urgency Code\": 1, \"Category\": \"" + label + "\", \"Resolution\": \"x\"}"));
}

TEST_CASE("a schema that cannot be answered is refused in a sentence") {
  const auto vocabulary = test_vocabulary();
  for (const AnswerSchema& schema :
       {AnswerSchema{}, seed_schema({}), seed_schema({"1", "1"}), seed_schema({"01"}), seed_schema({"high"}), seed_schema({"1"}, {""}),
        seed_schema({"1"}, {"\xff"}), seed_schema({"1"}, {std::string(2000, 'a')}), seed_schema({"1"}, {"a"}, 0)})
    CHECK_THROWS_AS(JsonGrammar(schema, vocabulary), Error);
  CHECK_THROWS_AS(JsonGrammar(seed_schema(), std::make_shared<const TokenTrie>(std::vector<std::string>{"a", "b"})), Error);
}

TEST_CASE("a control token is never allowed") {
  const JsonGrammar grammar(seed_schema(), test_vocabulary());
  auto at = grammar.start();
  REQUIRE(grammar.advance(at, R"({"Urgency Code": 3, "Category": "Sales", "Resolution": "C)"));
  CHECK(!grammar.allowed(at)->allows(grammar.tokens().size() - 1));
  CHECK(!grammar.advance(at, grammar.tokens().size() - 1));
}

}  // namespace
}  // namespace deskhand
