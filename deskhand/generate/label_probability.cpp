#include "deskhand/generate/label_probability.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "deskhand/base/error.h"
#include "deskhand/ops/log_softmax.h"

namespace deskhand {
namespace {

// A beginning of some label that the model has not been asked behind yet.
struct Beginning {
  std::vector<std::int32_t> tokens;
  JsonGrammar::State state;
  double p;
};

// The search at one place.
struct Search {
  std::vector<double> found;          // of each label
  std::vector<Beginning> beginnings;  // a heap, the likeliest on top
  double found_p = 0, open_p = 0;     // sums
  std::int32_t sequences = 0;

  static bool less(const Beginning& a, const Beginning& b) { return a.p < b.p; }
  void open(Beginning one) {
    open_p += one.p;
    beginnings.push_back(std::move(one));
    std::push_heap(beginnings.begin(), beginnings.end(), less);
  }
  Beginning take() {
    std::pop_heap(beginnings.begin(), beginnings.end(), less);
    Beginning one = std::move(beginnings.back());
    beginnings.pop_back();
    open_p = std::max(0., open_p - one.p);
    if (beginnings.empty()) open_p = 0;
    return one;
  }
  double unexplored() const { return open_p == 0 ? 0 : open_p / (found_p + open_p); }
  double most_open() const { return beginnings.empty() ? 0 : beginnings.front().p / (found_p + open_p); }
};

// Splits a beginning's probability over the tokens that may follow. The one child `follow` is handed back instead of being opened: the next
// row of logits is already there for it.
std::optional<Beginning> expand(Search& search, const JsonGrammar& grammar, std::int32_t field, const Beginning& from,
                                std::span<const float> logits, std::int32_t follow) {
  const double total = log_sum_exp(logits);
  if (std::isnan(total)) throw Error(ExitCode::kBadInput, "the model's logits are not numbers: its weights are damaged or overflow");
  std::optional<Beginning> followed;
  grammar.allowed(from.state)->for_each([&](std::int32_t token) {
    if (static_cast<std::size_t>(token) >= logits.size()) return;
    const double p = from.p * std::exp(logits[static_cast<std::size_t>(token)] - total);
    if (!(p > 0)) return;
    JsonGrammar::State after = from.state;
    grammar.advance(after, token);
    if (grammar.field(after) > field) {
      search.found[static_cast<std::size_t>(after.last_label)] += p;
      search.found_p += p;
      return;
    }
    Beginning next{from.tokens, after, p};
    next.tokens.push_back(token);
    if (token == follow)
      followed = std::move(next);
    else
      search.open(std::move(next));
  });
  return followed;
}

struct Question {
  std::size_t place;
  Beginning from;
  std::vector<std::int32_t> follow;  // the rest of the only label left, spelled as the tokenizer would
  std::vector<std::int32_t> tokens;  // what is fed: the beginning's tokens and all of `follow` but its last
  KvCache::Sequence sequence;
};

}  // namespace

std::vector<LabelDistribution> label_distributions(PagedModel& model, const JsonGrammar& grammar, std::int32_t field,
                                                   std::span<const LabelPlace> places, const LabelSearch& settings) {
  const AnswerField& asked = grammar.schema().fields.at(static_cast<std::size_t>(field));
  DESKHAND_ASSERT(asked.is_choice() && settings.sequences > 0, "a choice to ask for");
  std::vector<Search> searches(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    searches[i].found.assign(asked.labels.size(), 0);
    expand(searches[i], grammar, field, {{}, places[i].state, 1}, places[i].logits, -1);
  }

  for (;;) {
    std::vector<Question> questions;
    while (questions.size() < static_cast<std::size_t>(settings.sequences)) {
      double unexplored = 0, weights = 0, most = 0;
      std::size_t next = 0;
      for (std::size_t i = 0; i < places.size(); ++i) {
        weights += places[i].weight;
        if (searches[i].sequences >= settings.most_sequences) continue;
        unexplored += places[i].weight * searches[i].unexplored();
        if (const double open = places[i].weight * searches[i].most_open(); open > most) {
          most = open;
          next = i;
        }
      }
      if (most == 0 || unexplored <= settings.tolerance * weights) break;
      Question question{next, searches[next].take(), {}, {}, places[next].sequence->fork()};
      ++searches[next].sequences;
      if (const std::string rest = grammar.rest_of_only_label(question.from.state); !rest.empty())
        question.follow = grammar.tokens().spell(rest);
      question.tokens = question.from.tokens;
      if (!question.follow.empty()) question.tokens.insert(question.tokens.end(), question.follow.begin(), question.follow.end() - 1);
      questions.push_back(std::move(question));
    }
    if (questions.empty()) break;
    std::vector<PagedModel::Feed> feeds;
    for (Question& question : questions)
      feeds.push_back({&question.sequence, question.tokens, std::max(1, static_cast<std::int32_t>(question.follow.size()))});
    const ConstView logits = model.feed(feeds);
    std::int64_t row = 0;
    for (std::size_t q = 0; q < questions.size(); ++q) {
      Search& search = searches[questions[q].place];
      std::optional<Beginning> at = std::move(questions[q].from);
      for (std::int32_t i = 0; i < feeds[q].rows; ++i) {
        const std::int32_t follow = i + 1 < feeds[q].rows ? questions[q].follow[static_cast<std::size_t>(i)] : -1;
        if (at) at = expand(search, grammar, field, *at, logits_row(logits, row), follow);
        ++row;
      }
    }
  }

  std::vector<LabelDistribution> out;
  for (Search& search : searches) {
    LabelDistribution distribution;
    distribution.raw = std::min(1., search.found_p);
    const double whole = search.found_p + search.open_p;
    distribution.unexplored = whole > 0 ? search.unexplored() : 1;
    distribution.p = std::move(search.found);
    const double sum = std::accumulate(distribution.p.begin(), distribution.p.end(), 0.);
    for (double& p : distribution.p) p = sum > 0 ? p / sum : 1. / static_cast<double>(distribution.p.size());
    out.push_back(std::move(distribution));
  }
  return out;
}

std::int32_t leading_choices(const AnswerSchema& schema) {
  const auto text = std::find_if(schema.fields.begin(), schema.fields.end(), [](const AnswerField& field) { return !field.is_choice(); });
  return static_cast<std::int32_t>(text - schema.fields.begin());
}

ChoiceSearchResult choice_distributions(PagedModel& model, const JsonGrammar& grammar, const KvCache::Sequence& sequence,
                                        std::span<const float> logits, const LabelSearch& settings) {
  const std::int32_t choices = leading_choices(grammar.schema());
  ChoiceSearchResult result;
  result.branches.push_back({{}, 1, sequence.fork()});
  std::vector<std::span<const float>> rows{logits};
  for (std::int32_t field = 0; field < choices; ++field) {
    std::vector<LabelPlace> places;
    for (std::size_t b = 0; b < result.branches.size(); ++b) {
      JsonGrammar::State state = grammar.start();
      grammar.advance(state, grammar.stem_before(field, result.branches[b].labels));
      places.push_back({&result.branches[b].sequence, state, rows[b], result.branches[b].p});
    }
    const auto each = label_distributions(model, grammar, field, places, settings);

    // Summed over the branches, which need not have all of the probability.
    LabelDistribution sum;
    sum.p.assign(each[0].p.size(), 0);
    double kept = 0;
    std::vector<JointLabels> joint;
    for (std::size_t b = 0; b < each.size(); ++b) {
      const double share = result.branches[b].p;
      kept += share;
      sum.raw += share * each[b].raw;
      sum.unexplored += share * each[b].unexplored;
      for (std::size_t label = 0; label < sum.p.size(); ++label) {
        sum.p[label] += share * each[b].p[label];
        JointLabels one{result.branches[b].labels, share * each[b].p[label]};
        one.labels.push_back(static_cast<std::int32_t>(label));
        if (one.p >= settings.least_branch || choices == 1) joint.push_back(std::move(one));
      }
    }
    for (double& p : sum.p) p /= kept;
    sum.raw /= kept;
    sum.unexplored = std::min(1., sum.unexplored + 1 - kept);
    std::stable_sort(joint.begin(), joint.end(), [](const JointLabels& a, const JointLabels& b) { return a.p > b.p; });
    if (joint.empty()) {  // hundreds of labels, all alike: go on with the likeliest of each
      JointLabels one{result.branches[0].labels, result.branches[0].p};
      one.labels.push_back(static_cast<std::int32_t>(std::max_element(each[0].p.begin(), each[0].p.end()) - each[0].p.begin()));
      one.p *= each[0].p[static_cast<std::size_t>(one.labels.back())];
      joint.push_back(std::move(one));
    }
    result.distributions.fields.push_back(std::move(sum));
    result.distributions.joint = joint;
    if (field + 1 == choices) break;

    joint.resize(std::min<std::size_t>(joint.size(), static_cast<std::size_t>(settings.sequences)));
    std::vector<ChoiceBranch> next;
    std::vector<std::vector<std::int32_t>> tokens;
    for (const JointLabels& one : joint) {
      const std::vector<std::int32_t> before(one.labels.begin(), one.labels.end() - 1);
      const auto from =
          std::find_if(result.branches.begin(), result.branches.end(), [&](const ChoiceBranch& branch) { return branch.labels == before; });
      const std::string fed = grammar.stem_before(field, before), wanted = grammar.stem_before(field + 1, one.labels);
      tokens.push_back(grammar.tokens().spell(std::string_view(wanted).substr(fed.size())));
      next.push_back({one.labels, one.p, from->sequence.fork()});
    }
    result.branches = std::move(next);
    std::vector<PagedModel::Feed> feeds;
    for (std::size_t b = 0; b < result.branches.size(); ++b) feeds.push_back({&result.branches[b].sequence, tokens[b], 1});
    const ConstView all = model.feed(feeds);
    rows.clear();
    for (std::size_t b = 0; b < result.branches.size(); ++b) rows.push_back(logits_row(all, static_cast<std::int64_t>(b)));
  }
  return result;
}

}  // namespace deskhand
