#include "deskhand/triage/generator_model.h"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "deskhand/base/error.h"
#include "deskhand/generate/scripted_model.h"
#include "deskhand/triage/byte_tokenizer.h"

namespace deskhand {
namespace {

// Wants to say urgency 2 (or 3, half as much), "Finance" and a resolution, whatever the prompt.
void say(std::span<const std::int32_t> history, std::span<float> logits) {
  std::string written;
  for (const std::int32_t id : history) written += static_cast<char>(id);
  const auto begin = written.rfind("{\"Urgency Code\":");
  if (begin == std::string::npos) return;
  const std::string said = written.substr(begin);
  const auto expect = [&](const std::string& text, std::size_t from) {
    if (said.size() >= from && said.size() - from < text.size()) logits[static_cast<unsigned char>(text[said.size() - from])] = 20;
  };
  expect(R"({"Urgency Code": 2, )", 0);
  if (said.size() == 17) logits['3'] = 20 - std::log(2.0f);
  if (const auto at = said.find("\"Category\": "); at != std::string::npos) expect("\"Finance\", ", at + 12);
  if (const auto at = said.find("\"Resolution\": "); at != std::string::npos) expect("\"Post \\\"it\\\" again.\"}", at + 14);
}

struct Model {
  ByteTokenizer tokenizer;
  ChatTemplate chat = chatml();
  Generator generator{std::make_unique<ScriptedModel>(tokenizer.size(), say),
                      token_trie(tokenizer),
                      {257},
                      {.cache = {.tokens = 16000, .page_tokens = 16, .type = DType::kF32}}};
  GeneratorModel model{generator, tokenizer, &chat, settings()};

  static GeneratorModelSettings settings() {
    GeneratorModelSettings s;
    s.prompt.instruction = "Triage.";
    s.prompt.categories = {"Sales", "Finance"};
    s.prompt.max_prompt_tokens = 1000;
    s.max_new_tokens = 200;
    return s;
  }
};

Question question(std::string query, std::size_t urgency, std::size_t category, std::vector<double>* told = nullptr) {
  return {.query = std::move(query), .decide = [=](LabelKind kind, std::span<const double> model) {
            if (told && kind == LabelKind::kUrgency) told->assign(model.begin(), model.end());
            return kind == LabelKind::kUrgency ? urgency : category;
          }};
}

}  // namespace

TEST_CASE("a generator tells its distributions, writes under the labels that were decided, and its resolution comes back unescaped") {
  Model m;
  std::vector<double> told;
  const std::vector<Question> questions = {question("Ledger is off", 4, 0, &told)};
  const auto answers = m.model.answer(questions);
  REQUIRE(answers.at(0));
  CHECK(told.at(1) == doctest::Approx(2.0 / 3).epsilon(0.01));
  CHECK(told.at(2) == doctest::Approx(1.0 / 3).epsilon(0.01));
  CHECK(answers[0]->category.at(1) > 0.99);
  CHECK(answers[0]->resolution == "Post \"it\" again.");
  CHECK_FALSE(answers[0]->is_cut);
  CHECK(answers[0]->new_tokens > 50);
}

TEST_CASE("labels alone are asked for without a resolution") {
  Model m;
  std::vector<Question> questions = {question("Ledger is off", 1, 1)};
  questions[0].labels_only = true;
  const auto answers = m.model.answer(questions);
  REQUIRE(answers.at(0));
  CHECK(answers[0]->resolution.empty());
  CHECK(answers[0]->urgency.size() == 5);
}

TEST_CASE("a ticket longer than the model's context is a fault of its own and does not take the others with it") {
  Model m;
  const std::vector<Question> questions = {question("short", 1, 1), question(std::string(3000, 'x'), 1, 1), question("also short", 1, 1)};
  const auto answers = m.model.answer(questions);
  CHECK(answers.at(0).has_value());
  REQUIRE_FALSE(answers.at(1).has_value());
  CHECK(answers[1].error().find("1800 fit") != std::string::npos);
  CHECK(answers.at(2).has_value());
}

TEST_CASE("a prompt that outgrows the cache fails alone when it is asked again by itself") {
  Model m;
  Generator small{std::make_unique<ScriptedModel>(m.tokenizer.size(), say),
                  token_trie(m.tokenizer),
                  {257},
                  {.cache = {.tokens = 900, .page_tokens = 16, .type = DType::kF32}}};
  GeneratorModel model(small, m.tokenizer, &m.chat, Model::settings());
  const std::vector<Question> questions = {question("short", 1, 1), question(std::string(1200, 'x'), 1, 1)};
  const auto answers = model.answer(questions);
  CHECK(answers.at(0).has_value());
  CHECK_FALSE(answers.at(1).has_value());
}

TEST_CASE("a model without categories to choose from is refused") {
  Model m;
  GeneratorModelSettings s = Model::settings();
  s.prompt.categories.clear();
  CHECK_THROWS_AS(GeneratorModel(m.generator, m.tokenizer, &m.chat, s), Error);
}

}  // namespace deskhand
