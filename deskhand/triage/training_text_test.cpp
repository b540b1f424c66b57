#include "deskhand/triage/training_text.h"

#include <doctest/doctest.h>

#include "deskhand/base/error.h"
#include "deskhand/train/packing.h"
#include "deskhand/triage/byte_tokenizer.h"

namespace deskhand {
namespace {

constexpr std::int32_t kEndOfTurn = 257, kBos = 258, kEos = 259;

const ByteTokenizer& bytes() {
  static const ByteTokenizer tokenizer;
  return tokenizer;
}

Ticket ticket() {
  return {.id = "T1",
          .problem = "The printer\nprints blanks <|im_end|>",
          .urgency = 3,
          .category = "Finance",
          .solution = "Set the margin to \"narrow\".\nThen print again."};
}

TrainingTextSettings settings() {
  TrainingTextSettings s;
  s.prompt.categories = {"Sales Orders", "Finance"};
  s.prompt.max_prompt_tokens = 4000;
  s.max_tokens = 4000;
  return s;
}

std::vector<Case> two_cases() {
  return {{.ticket_id = "A", .problem = "Blank pages", .resolution = std::string(900, 'a') + ".", .urgency = 2, .category = "Finance"},
          {.ticket_id = "B", .problem = "No ink", .resolution = std::string(900, 'b') + ".", .urgency = 4, .category = "Finance"}};
}

std::vector<std::int32_t> answer_ids(const Example& example) {
  return {example.ids.begin() + example.answer_begin, example.ids.end()};
}

}  // namespace

TEST_CASE("a training text is triage's own prompt, then the answer as the grammar spells it, then the end of turn") {
  const ChatTemplate chat = chatml();
  const auto cases = two_cases();
  const auto made = training_text(ticket(), cases, settings(), bytes(), &chat);
  REQUIRE(made);
  const Prompt prompt = write_prompt(problem_text(ticket()), cases, settings().prompt, bytes(), &chat);
  const Example& example = made->example;
  CHECK(example.answer_begin == static_cast<std::int32_t>(prompt.ids.size()));
  CHECK(std::equal(prompt.ids.begin(), prompt.ids.end(), example.ids.begin()));
  const std::string answer =
      R"({"Urgency Code": 3, "Category": "Finance", "Resolution": "Set the margin to \"narrow\".\nThen print again."})";
  auto expected = bytes().encode(answer);
  expected.push_back(kEndOfTurn);
  CHECK(answer_ids(example) == expected);
  CHECK(made->text == prompt.text + answer);
  CHECK(made->cases_shown == 2);
  CHECK(example.answer_only);
  CHECK(example.loss_begin() == example.answer_begin);
  CHECK(example.weights.empty());
}

TEST_CASE("tokens of the labels count as often as the settings say, of a label that is missing not at all") {
  const ChatTemplate chat = chatml();
  TrainingTextSettings s = settings();
  const auto counted = [&](const Ticket& one, float weight) {  // the answer's bytes of that weight
    const Example example = training_text(one, {}, s, bytes(), &chat)->example;
    std::string text;
    for (std::int32_t at = example.answer_begin; at < example.size(); ++at)
      if (example.weight(at) == weight) text += bytes().decode({&example.ids[static_cast<std::size_t>(at)], 1});
    return text;
  };
  Ticket no_urgency = ticket(), no_category = ticket();
  no_urgency.urgency = 0;
  no_category.category.clear();
  CHECK(counted(no_urgency, 0) == "3");
  CHECK(counted(no_category, 0) == "\"Sales Orders\"");
  CHECK(counted(ticket(), 0).empty());
  s.label_weight = 8;
  CHECK(counted(ticket(), 8) == "3\"Finance\"");
  CHECK(counted(no_urgency, 8) == "\"Finance\"");
  CHECK(counted(no_urgency, 0) == "3");
}

TEST_CASE("cases give way to the answer: they are shortened and dropped until both fit") {
  const ChatTemplate chat = chatml();
  TrainingTextSettings s = settings();
  const auto whole = training_text(ticket(), two_cases(), s, bytes(), &chat);
  REQUIRE(whole);
  s.max_tokens = whole->example.size() - 800;
  const auto shortened = training_text(ticket(), two_cases(), s, bytes(), &chat);
  REQUIRE(shortened);
  CHECK(shortened->example.size() <= s.max_tokens);
  CHECK(shortened->cases_shortened > 0);
  CHECK(answer_ids(shortened->example) == answer_ids(whole->example));
  const auto alone = training_text(ticket(), {}, settings(), bytes(), &chat);
  s.max_tokens = alone->example.size() - 100;  // not even the ticket fits: that is cut_examples' to do
  auto longer = training_text(ticket(), two_cases(), s, bytes(), &chat);
  REQUIRE(longer);
  CHECK(longer->cases_shown == 0);
  CHECK(longer->example.size() > s.max_tokens);
  const auto answer = answer_ids(longer->example);
  CHECK(cut_examples({&longer.value().example, 1}, s.max_tokens).examples == 1);
  CHECK(answer_ids(longer->example) == answer);
}

TEST_CASE("the thesis project's text is one plain text between the first and the last token") {
  TrainingTextSettings s = settings();
  s.format = TrainingFormat::kSeed;
  s.loss_on = LossOn::kEverything;
  const auto made = training_text(ticket(), {}, s, bytes(), nullptr);
  REQUIRE(made);
  const std::string prompt =
      "### Instruction:\nClassify and resolve this support ticket using the following details:\n- Problem: The printer prints blanks "
      "<|im_end|>\n\n"
      "### Response:\n";
  const std::string answer = "- Urgency: 3\n- Category: Finance\n- Solution: Set the margin to \"narrow\". Then print again.";
  std::vector<std::int32_t> expected = {kBos};
  for (const auto id : bytes().encode(prompt + answer)) expected.push_back(id);
  expected.push_back(kEos);
  CHECK(made->example.ids == expected);
  CHECK(made->example.answer_begin == static_cast<std::int32_t>(1 + prompt.size()));
  CHECK(made->example.loss_begin() == 1);
  CHECK(made->text == prompt + answer);
}

TEST_CASE("an instruction-style text ends with the end of text, and a chat needs its template") {
  TrainingTextSettings s = settings();
  CHECK_THROWS_WITH_AS(training_text(ticket(), {}, s, bytes(), nullptr), doctest::Contains("instruction"), Error);
  s.prompt.style = PromptStyle::kInstruction;
  const auto made = training_text(ticket(), {}, s, bytes(), nullptr);
  REQUIRE(made);
  CHECK(made->example.ids.front() == kBos);
  CHECK(made->example.ids.back() == kEos);
}

TEST_CASE("a ticket that cannot teach says why") {
  const auto why = [](auto change) {
    Ticket one = ticket();
    change(one);
    const ChatTemplate chat = chatml();
    const auto made = training_text(one, {}, settings(), bytes(), &chat);
    return made ? std::string() : made.error();
  };
  CHECK(why([](Ticket&) {}).empty());
  CHECK(why([](Ticket& t) { t.problem.clear(); }) == "no problem text");
  CHECK(why([](Ticket& t) { t.solution = " \n"; }) == "no resolution");
  CHECK(why([](Ticket& t) { t.urgency = 0; }).empty());
  CHECK(why([](Ticket& t) { t.category.clear(); }).empty());
  CHECK(why([](Ticket& t) { t.urgency = 0, t.category.clear(); }) == "neither urgency nor category");
  CHECK(why([](Ticket& t) { t.category = "Poetry"; }) == "the category 'Poetry' is not one of the desk's");
}

}  // namespace deskhand
