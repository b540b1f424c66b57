#include "deskhand/generate/label_probability.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "deskhand/generate/scripted_model.h"
#include "deskhand/generate/test_vocabulary.h"
#include "deskhand/ops/log_softmax.h"

namespace deskhand {
namespace {

using Kind = AnswerField::Kind;

AnswerSchema schema() {
  return {{{"Urgency Code", Kind::kInteger, {"1", "12", "2"}},
           {"Category", Kind::kLabel, {"Sales", "Sales Orders", "Network", "é\"x"}},
           {"Resolution", Kind::kText, {}, 400}}};
}

// Every token string that spells a label, one by one.
void brute_force(const ScriptedModel::Script& script, const JsonGrammar& grammar, std::int32_t field, std::vector<std::int32_t> history,
                 const JsonGrammar::State& at, double p, std::map<std::int32_t, double>& sums) {
  std::vector<float> logits(static_cast<std::size_t>(grammar.tokens().size()));
  script(history, logits);
  const double total = log_sum_exp(logits);
  for (std::int32_t token = 0; token < grammar.tokens().size(); ++token) {
    auto after = at;
    if (!grammar.advance(after, token)) continue;
    const double q = p * std::exp(logits[static_cast<std::size_t>(token)] - total);
    if (grammar.field(after) > field) {
      sums[after.last_label] += q;
      continue;
    }
    auto longer = history;
    longer.push_back(token);
    brute_force(script, grammar, field, std::move(longer), after, q, sums);
  }
}

struct Setup {
  std::shared_ptr<const TokenTrie> tokens = test_vocabulary();
  JsonGrammar grammar{schema(), tokens};
  ScriptedModel::Script script = [](std::span<const std::int32_t> history, std::span<float> logits) {
    for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(4 * hash_of(history, static_cast<std::int32_t>(i)));
  };
  ScriptedModel source{tokens->size(), script};
  PagedModel model{source, {.tokens = 4096, .page_tokens = 4, .type = DType::kF32}};
  std::vector<std::int32_t> prompt = tokens->spell("Check the cable.");
};

TEST_CASE("a label's probability is the sum over every token string that spells it") {
  Setup setup;
  for (const std::int32_t field : {0, 1}) {
    auto text = setup.prompt;
    const std::string stem = setup.grammar.stem_before(field, std::vector<std::int32_t>{2});
    for (const auto token : setup.tokens->spell(stem)) text.push_back(token);
    auto at = setup.grammar.start();
    REQUIRE(setup.grammar.advance(at, stem));
    std::map<std::int32_t, double> truth;
    brute_force(setup.script, setup.grammar, field, text, at, 1, truth);
    double sum = 0;
    for (const auto& [_, p] : truth) sum += p;

    for (const double tolerance : {0., 1e-4, .2}) {
      auto sequence = setup.model.cache().sequence();
      const LogitRows logits = setup.model.feed({&sequence, text, 1});
      const LabelPlace place{&sequence, at};
      const auto found = label_distributions(setup.model, setup.grammar, field, {&place, 1}, logits,
                                             {.tolerance = tolerance, .sequences = 5, .most_sequences = 100000})[0];
      CHECK(found.unexplored <= tolerance);
      CHECK(found.raw == doctest::Approx(sum).epsilon(tolerance + 1e-9));
      double whole = 0;
      for (std::size_t label = 0; label < found.p.size(); ++label) {
        CHECK(std::abs(found.p[label] - truth[static_cast<std::int32_t>(label)] / sum) <= found.unexplored + 1e-9);
        whole += found.p[label];
      }
      CHECK(whole == doctest::Approx(1));
    }
  }
  CHECK(setup.model.cache().free_pages() == setup.model.cache().pages());
}

TEST_CASE("the second choice is summed over the first") {
  Setup setup;
  auto text = setup.prompt;
  for (const auto token : setup.tokens->spell(setup.grammar.stem_before(0, {}))) text.push_back(token);
  auto sequence = setup.model.cache().sequence();
  const LogitRows logits = setup.model.feed({&sequence, text, 1});
  const ChoicesOf one{&setup.grammar, &sequence, {.tolerance = 1e-9, .least_branch = 0, .most_sequences = 1000000}};
  const auto found = std::move(choice_distributions(setup.model, {&one, 1}, logits)[0]);
  REQUIRE(found.distributions.fields.size() == 2);

  std::map<std::int32_t, double> urgency;
  auto at = setup.grammar.start();
  REQUIRE(setup.grammar.advance(at, setup.grammar.stem_before(0, {})));
  brute_force(setup.script, setup.grammar, 0, text, at, 1, urgency);
  const double all = urgency[0] + urgency[1] + urgency[2];
  std::vector<double> category(4);
  for (std::int32_t u = 0; u < 3; ++u) {
    const std::vector<std::int32_t> labels{u};
    auto branch = text;
    for (const auto token :
         setup.tokens->spell(std::string_view(setup.grammar.stem_before(1, labels)).substr(setup.grammar.stem_before(0, {}).size())))
      branch.push_back(token);
    auto state = setup.grammar.start();
    REQUIRE(setup.grammar.advance(state, setup.grammar.stem_before(1, labels)));
    std::map<std::int32_t, double> truth;
    brute_force(setup.script, setup.grammar, 1, branch, state, 1, truth);
    const double sum = truth[0] + truth[1] + truth[2] + truth[3];
    for (std::int32_t c = 0; c < 4; ++c) {
      const double joint = urgency[u] / all * truth[c] / sum;
      category[static_cast<std::size_t>(c)] += joint;
      const auto known = std::find_if(found.distributions.joint.begin(), found.distributions.joint.end(), [&](const JointLabels& one) {
        return one.labels == std::vector<std::int32_t>{u, c};
      });
      REQUIRE(known != found.distributions.joint.end());
      CHECK(known->p == doctest::Approx(joint).epsilon(1e-6));
    }
  }
  for (std::size_t c = 0; c < 4; ++c) CHECK(found.distributions.fields[1].p[c] == doctest::Approx(category[c]).epsilon(1e-6));
  CHECK(found.distributions.joint.front().p >= found.distributions.joint.back().p);
}

TEST_CASE("choices that are asked for together, more than one pass holds, have the distributions and branches that each has alone") {
  Setup setup;
  std::vector<KvCache::Sequence> sequences;
  std::vector<std::vector<std::int32_t>> texts;
  for (const char* prompt : {"Check the cable.", "Sales wait", "x", "Network and again", "Restart it"}) {
    texts.push_back(setup.tokens->spell(prompt));
    for (const auto token : setup.tokens->spell(setup.grammar.stem_before(0, {}))) texts.back().push_back(token);
    sequences.push_back(setup.model.cache().sequence());
  }
  std::vector<PagedModel::Feed> feeds;
  for (std::size_t i = 0; i < texts.size(); ++i) feeds.push_back({&sequences[i], texts[i], 1});
  std::vector<ChoicesOf> all;
  for (std::size_t i = 0; i < texts.size(); ++i)
    all.push_back({&setup.grammar, &sequences[i], {.tolerance = i % 2 ? .01 : .001}, static_cast<std::int64_t>(i)});
  const auto together = choice_distributions(setup.model, all, setup.model.feed(feeds));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    auto sequence = setup.model.cache().sequence();
    const LogitRows logits = setup.model.feed({&sequence, texts[i], 1});
    const ChoicesOf one{&setup.grammar, &sequence, all[i].search};
    const auto alone = std::move(choice_distributions(setup.model, {&one, 1}, logits)[0]);
    REQUIRE(together[i].distributions.fields.size() == 2);
    for (std::size_t field = 0; field < 2; ++field) {
      CHECK(together[i].distributions.fields[field].p == alone.distributions.fields[field].p);
      CHECK(together[i].distributions.fields[field].unexplored == alone.distributions.fields[field].unexplored);
    }
    REQUIRE(together[i].branches.size() == alone.branches.size());
    for (std::size_t b = 0; b < alone.branches.size(); ++b) {
      CHECK(together[i].branches[b].labels == alone.branches[b].labels);
      CHECK(together[i].branches[b].sequence.length() == alone.branches[b].sequence.length());
    }
  }
}

TEST_CASE("a model that wants to say something else shows it in the raw mass") {
  Setup setup;
  const auto other = setup.tokens->spell("Or")[0];
  ScriptedModel source(setup.tokens->size(), [&](auto, std::span<float> logits) { logits[static_cast<std::size_t>(other)] = 20; });
  PagedModel model(source, {.tokens = 4096, .page_tokens = 4, .type = DType::kF32});
  auto sequence = model.cache().sequence();
  const auto stem = setup.tokens->spell(setup.grammar.stem_before(0, {}));
  const LogitRows logits = model.feed({&sequence, stem, 1});
  const ChoicesOf one{&setup.grammar, &sequence};
  const auto found = std::move(choice_distributions(model, {&one, 1}, logits)[0]);
  CHECK(found.distributions.fields[0].raw < 1e-5);
}

}  // namespace
}  // namespace deskhand
