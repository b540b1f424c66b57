#include "deskhand/generate/generator.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/generate/scripted_model.h"
#include "deskhand/generate/test_vocabulary.h"

namespace deskhand {
namespace {

using Kind = AnswerField::Kind;

AnswerSchema seed_schema(std::int32_t max_bytes = 4000) {
  return {{{"Urgency Code", Kind::kInteger, {"1", "2", "3"}},
           {"Category", Kind::kLabel, {"Sales", "Sales Orders", "Network"}},
           {"Resolution", Kind::kText, {}, max_bytes}}};
}

struct Desk {
  std::shared_ptr<const TokenTrie> tokens;
  ScriptedModel* source = nullptr;
  Generator generator;

  explicit Desk(ScriptedModel::Script script, GeneratorSettings settings = {},
                std::shared_ptr<const TokenTrie> vocabulary = test_vocabulary())
      : tokens(std::move(vocabulary)),
        generator(make(std::move(script)), tokens, {tokens->size() - 1}, with_small_pages(std::move(settings))) {}

  std::unique_ptr<ScriptedModel> make(ScriptedModel::Script script) {
    auto made = std::make_unique<ScriptedModel>(tokens->size(), std::move(script));
    source = made.get();
    return made;
  }
  static GeneratorSettings with_small_pages(GeneratorSettings settings) {
    settings.cache = {.tokens = std::min<std::int64_t>(4000, settings.cache.tokens), .page_tokens = 4, .type = DType::kF32};
    return settings;
  }
  std::vector<std::int32_t> spell(std::string_view text) const { return tokens->spell(text); }
};

// Likes what it said before in the same place: short memory, so that texts run in circles; ASCII words rather than single bytes.
ScriptedModel::Script rambling(std::size_t memory) {
  return [memory](std::span<const std::int32_t> history, std::span<float> logits) {
    for (std::size_t i = 0; i < logits.size(); ++i)
      logits[i] = static_cast<float>(6 * hash_of(history, static_cast<std::int32_t>(i), memory)) + (i >= 256 ? 4.f : 0.f);
  };
}

// All bytes, every word of the text with and without the space before it, and a stop token.
std::shared_ptr<const TokenTrie> words_of(const std::string& text) {
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) bytes.emplace_back(1, static_cast<char>(b));
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin + 1;
    while (end < text.size() && std::isalpha(static_cast<unsigned char>(text[end]))) ++end;
    for (std::string word :
         {text.substr(begin, end - begin), text.substr(begin + (text[begin] == ' '), end - begin - (text[begin] == ' '))})
      if (word.size() > 1 && std::find(bytes.begin(), bytes.end(), word) == bytes.end()) bytes.push_back(word);
    begin = end;
  }
  bytes.emplace_back();
  return std::make_shared<const TokenTrie>(std::move(bytes));
}

// Says `text` again and again, for ever; unlikes the closing quote.
ScriptedModel::Script looping(std::shared_ptr<const TokenTrie> tokens, const std::string& text) {
  return [tokens, text](std::span<const std::int32_t> history, std::span<float> logits) {
    const std::string written = tokens->text(history);
    const std::size_t begin = written.rfind("Resolution\": \"");
    const std::size_t said = begin == std::string::npos ? 0 : (written.size() - begin - 14) % text.size();
    logits[static_cast<std::size_t>(tokens->spell(text.substr(said))[0])] = 30;
    logits['"'] = -20;
  };
}

void check_answer(const Answer& answer, const AnswerOptions& options) {
  CHECK(static_cast<std::int32_t>(answer.tokens.size()) <= options.max_new_tokens);
  const Json json = parse_json(answer.json, "answer");
  REQUIRE(json.size() == 3);
  CHECK(json.begin().key() == "Urgency Code");
  CHECK(json["Resolution"].get<std::string>() == answer.text);
  CHECK(!answer.text.empty());
  CHECK(json["Category"].get<std::string>() == seed_schema().fields[1].labels.at(static_cast<std::size_t>(answer.labels.at(1))));
  CHECK(answer.statistics.new_tokens == static_cast<std::int32_t>(answer.tokens.size()));
}

TEST_CASE("whatever the model is like, an answer is valid JSON within its budget") {
  for (const std::size_t memory : {1, 2, 3, 5, 50})
    for (const std::int32_t budget : {24, 25, 31, 60, 200})
      for (const bool distributions : {false, true}) {
        Desk desk(rambling(memory));
        const AnswerOptions options{.max_new_tokens = budget, .distributions = distributions};
        check_answer(desk.generator.answer(desk.spell("Check the cable. Restart it."), seed_schema(), options), options);
      }
}

TEST_CASE("drafts give exactly the tokens of plain decoding, greedy and drawn") {
  std::int32_t accepted = 0;
  for (const std::size_t memory : {1, 2, 3, 50})
    for (const float temperature : {0.f, .7f})
      for (const bool distributions : {false, true}) {
        AnswerOptions options{.max_new_tokens = 150, .sampler = {.temperature = temperature, .seed = 11}, .distributions = distributions};
        Desk with(rambling(memory)), without(rambling(memory));
        const auto prompt =
            with.spell(" Check the cable. Restart it and wait again. plug the cable and Check the work. Sales Orders wait again");
        const Answer drafted = with.generator.answer(prompt, seed_schema(), options);
        options.drafts = false;
        const Answer plain = without.generator.answer(prompt, seed_schema(), options);
        CHECK(drafted.tokens == plain.tokens);
        CHECK(plain.statistics.drafted_tokens == 0);
        accepted += drafted.statistics.accepted_tokens;

        CompletionOptions completion{.max_new_tokens = 80, .sampler = options.sampler};
        const auto long_one = with.generator.complete(prompt, completion);
        completion.drafts = false;
        CHECK(long_one.tokens == without.generator.complete(prompt, completion).tokens);
        accepted += long_one.statistics.accepted_tokens;
      }
  CHECK(accepted > 20);
}

TEST_CASE("a quoted past resolution costs a pass for many tokens") {
  const std::string quote = "Check the cable of the dock. Restart it and wait a minute. Plug it in again, then call the office and say so.";
  const auto words = words_of(quote);
  Desk desk(looping(words, quote + " "), {}, words);
  const Answer answer =
      desk.generator.answer(desk.spell("Past: " + quote), seed_schema(), {.max_new_tokens = 200, .remember_prompt = false});
  CHECK(answer.text == quote);
  CHECK(answer.statistics.accepted_tokens > 18);  // of 27
  const Answer plain = desk.generator.answer(desk.spell("Past: " + quote), seed_schema(),
                                             {.max_new_tokens = 200, .drafts = false, .remember_prompt = false});
  CHECK(plain.tokens == answer.tokens);
  CHECK(answer.statistics.passes + 15 < plain.statistics.passes);
}

TEST_CASE("a text that would go round for ever is closed where it begins again") {
  for (const std::string round : {"Check the cable. ", "Restart it. Check the cable. ",
                                  "Restart the dock, wait a minute and plug it in again. Then call. ", "Restart it.\\nCheck the cable.\\n"})
    for (const bool drafts : {false, true}) {
      const auto words = words_of(round);
      Desk desk(looping(words, round), {}, words);
      const Answer answer = desk.generator.answer(desk.spell("x"), seed_schema(), {.max_new_tokens = 300, .drafts = drafts});
      CHECK(answer.cut_short);
      CHECK(answer.text.size() <= round.size());
      CHECK(answer.text.back() == '.');
    }
  const auto words = words_of("and the ");
  Desk endless(looping(words, "and the "), {}, words);
  const Answer answer = endless.generator.answer(endless.spell("x"), seed_schema(), {.max_new_tokens = 300});
  CHECK(answer.cut_short);
  CHECK(answer.text.size() < 60);
}

TEST_CASE("late in the budget the next sentence's end is the end, and a text that has none there is cut after its last whole sentence") {
  std::string many;
  for (char c = 'a'; c <= 'z'; ++c) many += std::string("Step ") + c + " is done. ";  // 6 tokens each
  const auto words = words_of(many);
  Desk desk(looping(words, many), {}, words);
  const std::int32_t lead = static_cast<std::int32_t>(desk.spell(R"({"Urgency Code": 1, "Category": "Network", "Resolution": ")").size());
  const Answer answer = desk.generator.answer(desk.spell("x"), seed_schema(), {.max_new_tokens = lead + 60});
  CHECK(answer.text.back() == '.');
  CHECK(answer.cut_short);
  CHECK(static_cast<std::int32_t>(answer.tokens.size()) > lead + 50);
  const Answer bytes = desk.generator.answer(desk.spell("x"), seed_schema(70), {.max_new_tokens = 900});
  CHECK(bytes.text == "Step a is done. Step b is done. Step c is done. Step d is done.");

  std::string run_on = "Step one is done. Step two is done";
  for (char c = 'a'; c <= 'z'; ++c) run_on += std::string(" and ") + c;
  const auto other = words_of(run_on);
  Desk longer(looping(other, run_on), {}, other);
  CHECK(longer.generator.answer(longer.spell("x"), seed_schema(), {.max_new_tokens = lead + 10}).text == "Step one is done.");
}

TEST_CASE("what is decided stands in the answer, and the text is written behind it") {
  Desk desk(rambling(50));
  ChoiceDistributions seen;
  AnswerOptions options{.max_new_tokens = 80};
  options.decide = [&](const ChoiceDistributions& known) {
    seen = known;
    return std::vector<std::int32_t>{2, 1};
  };
  const auto prompt = desk.spell("Check the cable.");
  const Answer answer = desk.generator.answer(prompt, seed_schema(), options);
  CHECK(answer.json.starts_with(R"({"Urgency Code": 3, "Category": "Sales Orders", "Resolution": ")"));
  CHECK(answer.labels == std::vector<std::int32_t>{2, 1});
  REQUIRE(seen.fields.size() == 2);
  CHECK(seen.fields[0].p == answer.distributions.fields[0].p);

  // The same labels forced on a model by a schema without other choices give the same text: what was fed is the same.
  AnswerSchema only = seed_schema();
  only.fields[0].labels = {"3"};
  only.fields[1].labels = {"Sales Orders"};
  Desk other(rambling(50));
  CHECK(other.generator.answer(prompt, only, {.max_new_tokens = 80, .distributions = false}).tokens == answer.tokens);
}

TEST_CASE("a prompt that begins like an earlier one is read from where it differs, and the answer is the same") {
  Desk desk(rambling(50)), fresh(rambling(50));
  const auto first = desk.spell("Check the cable. Restart it. Network and Sales"),
             second = desk.spell("Check the cable. Restart it. plug again");
  const AnswerOptions options{.max_new_tokens = 60};
  const Answer one = desk.generator.answer(first, seed_schema(), options);
  CHECK(one.statistics.cached_tokens == 0);
  const Answer two = desk.generator.answer(second, seed_schema(), options);
  CHECK(two.statistics.cached_tokens > 5);
  CHECK(two.tokens == fresh.generator.answer(second, seed_schema(), options).tokens);
  const Answer again = desk.generator.answer(first, seed_schema(), options);
  CHECK(again.statistics.cached_tokens == static_cast<std::int32_t>(first.size()) - 1);
  CHECK(again.tokens == one.tokens);
  AnswerOptions adapted = options;
  adapted.adapter_id = "adapter";
  CHECK(desk.generator.answer(first, seed_schema(), adapted).statistics.cached_tokens == 0);
}

TEST_CASE("answers written together are the answers written alone") {
  Desk together(rambling(3), {.together = 3}), alone(rambling(3));
  std::vector<Generator::Request> requests;
  for (const char* text :
       {"Check the cable.", "Restart it", "Sales Orders wait", "x", "Network and again", " plug", "Check the cable. again"})
    requests.push_back({together.spell(text), seed_schema(), {.max_new_tokens = 40 + 10 * static_cast<std::int32_t>(requests.size())}});
  requests[3].options.decide = [](const ChoiceDistributions&) { return std::vector<std::int32_t>{0, 2}; };
  requests[4].options.distributions = false;
  std::size_t finished = 0;
  const auto answers = together.generator.answer_all(requests, [&](std::size_t, const Answer&) { ++finished; });
  CHECK(finished == requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i)
    CHECK(answers[i].tokens == alone.generator.answer(requests[i].prompt, requests[i].schema, requests[i].options).tokens);
}

TEST_CASE("what the prompts of answers written together begin with is read once") {
  const std::string beginning = "Restart it, check the cable, then Restart it again and check the Network and the cable. ";
  Desk together(rambling(3), {.together = 4});
  std::vector<Generator::Request> requests;
  const auto shared = static_cast<std::int32_t>(together.spell(beginning).size());
  for (const char* text : {"Sales", "Network", "plug", "x"}) {
    requests.push_back({together.spell(beginning + text), seed_schema(), {.max_new_tokens = 60}});
  }
  const auto answers = together.generator.answer_all(requests);
  CHECK(answers[0].statistics.cached_tokens == 0);
  for (std::size_t i = 1; i < answers.size(); ++i) CHECK(answers[i].statistics.cached_tokens >= (shared - 1) / 4 * 4);  // whole pages
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Desk alone(rambling(3));
    CHECK(answers[i].tokens == alone.generator.answer(requests[i].prompt, requests[i].schema, requests[i].options).tokens);
  }
}

TEST_CASE("where the cache does not hold as many answers, fewer are written together and all are written") {
  Desk narrow(rambling(3), {.cache = {.tokens = 200}, .together = 6}), wide(rambling(3));
  std::vector<Generator::Request> requests;
  for (const char* text : {"Check the cable.", "Restart it", "Sales Orders wait", "x", "Network and again", " plug"})
    requests.push_back({wide.spell(text), seed_schema(), {.max_new_tokens = 60}});
  const auto answers = narrow.generator.answer_all(requests);
  for (std::size_t i = 0; i < requests.size(); ++i)
    CHECK(answers[i].tokens == wide.generator.answer(requests[i].prompt, requests[i].schema, requests[i].options).tokens);
}

TEST_CASE("a completion ends at a stop token or at its length") {
  auto tokens = test_vocabulary();
  const std::int32_t stop = tokens->size() - 1;
  Desk desk([&](std::span<const std::int32_t> history, std::span<float> logits) {
    logits[static_cast<std::size_t>(history.size() < 9 ? 'a' : stop)] = 9;
  });
  const auto whole = desk.generator.complete(desk.spell("xyz"), {.max_new_tokens = 50});
  CHECK(whole.text == "aaaaaa");
  CHECK(whole.stopped);
  const auto part = desk.generator.complete(desk.spell("xyz"), {.max_new_tokens = 4});
  CHECK(part.text == "aaaa");
  CHECK(!part.stopped);
  CHECK(desk.generator.complete(desk.spell("xyz"), {.max_new_tokens = 50, .stop_tokens = {'a'}}).tokens.empty());
}

TEST_CASE("schemas that end with a choice, and schemas of text alone, are answered too") {
  Desk desk(rambling(4));
  const auto prompt = desk.spell("x");
  const AnswerSchema labels{{{"A", Kind::kLabel, {"x", "y"}}, {"B", Kind::kInteger, {"1", "10", "100"}}}};
  const AnswerSchema texts{{{"A", Kind::kText, {}, 30}, {"B", Kind::kText, {}, 30}, {"C", Kind::kLabel, {"x", "y"}}}};
  for (const bool distributions : {false, true})
    for (const AnswerSchema& schema : {labels, texts}) {
      const Answer answer = desk.generator.answer(prompt, schema, {.max_new_tokens = 90, .distributions = distributions});
      CHECK(parse_json(answer.json, "answer").size() == schema.fields.size());
    }
}

TEST_CASE("what cannot be done is refused before anything is written") {
  Desk desk(rambling(4));
  const auto prompt = desk.spell("x");
  CHECK_THROWS_WITH_AS(desk.generator.answer(prompt, seed_schema(), {.max_new_tokens = 5}), doctest::Contains("max_new_tokens is 5"),
                       Error);
  CHECK_THROWS_AS(desk.generator.answer({}, seed_schema()), Error);
  CHECK_THROWS_AS(desk.generator.answer(std::vector<std::int32_t>(1900, 65), seed_schema()), Error);
  CHECK_THROWS_AS(desk.generator.answer(prompt, seed_schema(), {.sampler = {.temperature = -1}}), Error);
  CHECK_THROWS_AS(Desk([](auto, std::span<float> logits) { logits[300] = std::nanf(""); }).generator.complete(prompt), Error);
}

}  // namespace
}  // namespace deskhand
