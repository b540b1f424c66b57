#include "deskhand/generate/label_probability.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>

#include "deskhand/base/error.h"

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

// One field's search over its places, a round of questions at a time: feeds() are the sequences of a round, want() the tokens whose
// probabilities it asks for behind them, take() is told those. The first round's rows are there already.
class FieldSearch {
 public:
  FieldSearch(const JsonGrammar& grammar, std::int32_t field, std::vector<LabelPlace> places, const LabelSearch& settings)
      : grammar_(&grammar), field_(field), places_(std::move(places)), settings_(settings), searches_(places_.size()) {
    const AnswerField& asked = grammar.schema().fields.at(static_cast<std::size_t>(field));
    DESKHAND_ASSERT(asked.is_choice() && settings.sequences > 0, "a choice to ask for");
    for (std::size_t i = 0; i < places_.size(); ++i) {
      searches_[i].found.assign(asked.labels.size(), 0);
      questions_.push_back({.place = i, .from = {{}, places_[i].state, 1}, .follow = {}, .tokens = {}, .sequence = {}});
    }
  }

  bool is_done() const { return questions_.empty(); }
  std::size_t rows() const {  // of the round, behind what is fed
    return std::accumulate(questions_.begin(), questions_.end(), std::size_t{0}, [](std::size_t sum, const Question& question) {
      return sum + static_cast<std::size_t>(question.tokens.empty() ? 0 : question.rows());
    });
  }
  void feeds(std::vector<PagedModel::Feed>& out) {
    for (Question& question : questions_)
      if (!question.tokens.empty()) out.push_back({&question.sequence, question.tokens, question.rows()});
  }
  void want(std::int64_t first_row, std::vector<TokenAt>& wanted);
  void take(std::span<const double> log_p);
  std::vector<LabelDistribution> distributions();

 private:
  struct Question {
    std::size_t place;
    Beginning from;
    std::vector<std::int32_t> follow;  // the rest of the only label left, spelled as the tokenizer would
    std::vector<std::int32_t> tokens;  // what is fed: the beginning's tokens and all of `follow` but its last
    KvCache::Sequence sequence;

    std::int32_t rows() const { return std::max(1, static_cast<std::int32_t>(follow.size())); }
  };

  // Of log_p, what the model gives the tokens that are allowed behind `from`.
  std::optional<Beginning> expand(Search& search, const Beginning& from, std::span<const double> log_p, std::int32_t follow) const;
  void ask();

  const JsonGrammar* grammar_;
  std::int32_t field_;
  std::vector<LabelPlace> places_;
  LabelSearch settings_;
  std::vector<Search> searches_;  // of each place
  std::vector<Question> questions_;
  std::vector<std::size_t> counts_;  // tokens wanted behind each of the round's rows
};

void FieldSearch::want(std::int64_t first_row, std::vector<TokenAt>& wanted) {
  counts_.clear();
  for (const Question& question : questions_) {
    JsonGrammar::State at = question.from.state;
    std::int64_t row = first_row + (question.tokens.empty() ? places_[question.place].row : 0);
    for (std::int32_t i = 0; i < question.rows(); ++i, ++row) {
      const std::size_t before = wanted.size();
      grammar_->allowed(at)->for_each([&](std::int32_t token) { wanted.push_back({static_cast<std::int32_t>(row), token}); });
      counts_.push_back(wanted.size() - before);
      if (!question.follow.empty()) grammar_->advance(at, question.follow[static_cast<std::size_t>(i)]);
    }
    if (!question.tokens.empty()) first_row += question.rows();
  }
}

// Splits a beginning's probability over the tokens that may follow. The one child `follow` is handed back instead of being opened: the next
// row is already there for it.
std::optional<Beginning> FieldSearch::expand(Search& search, const Beginning& from, std::span<const double> log_p,
                                             std::int32_t follow) const {
  std::optional<Beginning> followed;
  std::size_t next_token = 0;
  grammar_->allowed(from.state)->for_each([&](std::int32_t token) {
    const double p = from.p * std::exp(log_p[next_token++]);
    if (!(p > 0)) return;
    JsonGrammar::State after = from.state;
    grammar_->advance(after, token);
    if (grammar_->field(after) > field_) {
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

void FieldSearch::take(std::span<const double> log_p) {
  std::size_t row = 0;
  for (Question& question : questions_) {
    std::optional<Beginning> at = std::move(question.from);
    for (std::int32_t i = 0; i < question.rows(); ++i, ++row) {
      const std::int32_t follow = i + 1 < question.rows() ? question.follow[static_cast<std::size_t>(i)] : -1;
      if (at) at = expand(searches_[question.place], *at, log_p.first(counts_[row]), follow);
      log_p = log_p.subspan(counts_[row]);
    }
  }
  questions_.clear();
  ask();
}

// The next round: the beginnings that most is open behind, until what stays open is little enough.
void FieldSearch::ask() {
  while (questions_.size() < static_cast<std::size_t>(settings_.sequences)) {
    double unexplored = 0, weights = 0, most = 0;
    std::size_t next = 0;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      weights += places_[i].weight;
      if (searches_[i].sequences >= settings_.most_sequences) continue;
      unexplored += places_[i].weight * searches_[i].unexplored();
      if (const double open = places_[i].weight * searches_[i].most_open(); open > most) {
        most = open;
        next = i;
      }
    }
    if (most == 0 || unexplored <= settings_.tolerance * weights) return;
    Question question{next, searches_[next].take(), {}, {}, places_[next].sequence->fork()};
    ++searches_[next].sequences;
    if (const std::string rest = grammar_->rest_of_only_label(question.from.state); !rest.empty())
      question.follow = grammar_->tokens().spell(rest);
    question.tokens = question.from.tokens;
    if (!question.follow.empty()) question.tokens.insert(question.tokens.end(), question.follow.begin(), question.follow.end() - 1);
    questions_.push_back(std::move(question));
  }
}

std::vector<LabelDistribution> FieldSearch::distributions() {
  std::vector<LabelDistribution> out;
  for (Search& search : searches_) {
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

// All choices of one sequence, in rounds like a field's: between two fields the branches that go on are fed.
class ChoiceSearch {
 public:
  explicit ChoiceSearch(const ChoicesOf& of)
      : grammar_(*of.grammar), settings_(of.search), choices_(leading_choices(of.grammar->schema())) {
    branches_.push_back({{}, 1, of.sequence->fork()});
    search_.emplace(grammar_, 0, std::vector<LabelPlace>{place(0, of.row)}, settings_);
  }

  bool is_done() const { return !search_; }
  std::size_t rows() const { return leads_.empty() ? search_->rows() : leads_.size(); }
  void feeds(std::vector<PagedModel::Feed>& out) {
    for (std::size_t b = 0; b < leads_.size(); ++b) out.push_back({&branches_[b].sequence, leads_[b], 1});
    if (leads_.empty()) search_->feeds(out);
  }
  void want(std::int64_t first_row, std::vector<TokenAt>& wanted) { search_->want(first_row, wanted); }
  void take(std::span<const double> log_p) {
    leads_.clear();
    search_->take(log_p);
    if (search_->is_done()) settle();
  }
  ChoiceSearchResult result() { return {std::move(distributions_), std::move(branches_)}; }

 private:
  LabelPlace place(std::size_t branch, std::int64_t row) const {
    JsonGrammar::State state = grammar_.start();
    grammar_.advance(state, grammar_.stem_before(field_, branches_[branch].labels));
    return {&branches_[branch].sequence, state, row, branches_[branch].p};
  }
  void settle();

  const JsonGrammar& grammar_;
  LabelSearch settings_;
  std::int32_t choices_, field_ = 0;
  std::vector<ChoiceBranch> branches_;
  std::vector<std::vector<std::int32_t>> leads_;  // what the branches are fed before the field is asked for
  std::optional<FieldSearch> search_;             // of the field; none is left once all are known
  ChoiceDistributions distributions_;
};

// The field is known behind each branch: summed over the branches, which need not have all of the probability. Then the next field's
// branches.
void ChoiceSearch::settle() {
  const auto each = search_->distributions();
  search_.reset();
  LabelDistribution sum;
  sum.p.assign(each[0].p.size(), 0);
  double kept = 0;
  std::vector<JointLabels> joint;
  for (std::size_t b = 0; b < each.size(); ++b) {
    const double share = branches_[b].p;
    kept += share;
    sum.raw += share * each[b].raw;
    sum.unexplored += share * each[b].unexplored;
    for (std::size_t label = 0; label < sum.p.size(); ++label) {
      sum.p[label] += share * each[b].p[label];
      JointLabels one{branches_[b].labels, share * each[b].p[label]};
      one.labels.push_back(static_cast<std::int32_t>(label));
      if (one.p >= settings_.least_branch || choices_ == 1) joint.push_back(std::move(one));
    }
  }
  for (double& p : sum.p) p /= kept;
  sum.raw /= kept;
  sum.unexplored = std::min(1., sum.unexplored + 1 - kept);
  std::stable_sort(joint.begin(), joint.end(), [](const JointLabels& a, const JointLabels& b) { return a.p > b.p; });
  if (joint.empty()) {  // hundreds of labels, all alike: go on with the likeliest of each
    JointLabels one{branches_[0].labels, branches_[0].p};
    one.labels.push_back(static_cast<std::int32_t>(std::max_element(each[0].p.begin(), each[0].p.end()) - each[0].p.begin()));
    one.p *= each[0].p[static_cast<std::size_t>(one.labels.back())];
    joint.push_back(std::move(one));
  }
  distributions_.fields.push_back(std::move(sum));
  distributions_.joint = joint;
  if (field_ + 1 == choices_) return;

  joint.resize(std::min<std::size_t>(joint.size(), static_cast<std::size_t>(settings_.sequences)));
  std::vector<ChoiceBranch> next;
  for (const JointLabels& one : joint) {
    const std::vector<std::int32_t> before(one.labels.begin(), one.labels.end() - 1);
    const auto from = std::find_if(branches_.begin(), branches_.end(), [&](const ChoiceBranch& branch) { return branch.labels == before; });
    const std::string fed = grammar_.stem_before(field_, before), wanted = grammar_.stem_before(field_ + 1, one.labels);
    leads_.push_back(grammar_.tokens().spell(std::string_view(wanted).substr(fed.size())));
    next.push_back({one.labels, one.p, from->sequence.fork()});
  }
  branches_ = std::move(next);
  ++field_;
  std::vector<LabelPlace> places;
  for (std::size_t b = 0; b < branches_.size(); ++b) places.push_back(place(b, static_cast<std::int64_t>(b)));
  search_.emplace(grammar_, field_, std::move(places), settings_);
}

// One round of some searches whose rows are there, the first's from first_row on.
template <class Search>
void take_round(std::span<Search* const> searches, const LogitRows& logits, std::span<const std::int64_t> first_rows) {
  std::vector<TokenAt> wanted;
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < searches.size(); ++i) {
    searches[i]->want(first_rows[i], wanted);
    ends.push_back(wanted.size());
  }
  const auto log_p = logits.log_probabilities(wanted);
  std::size_t begin = 0;
  for (std::size_t i = 0; i < searches.size(); ++i) {
    searches[i]->take(std::span(log_p).subspan(begin, ends[i] - begin));
    begin = ends[i];
  }
}

// All rounds; the first one's rows are those of `logits` that the searches' places name.
template <class Search>
void search_together(PagedModel& model, std::span<Search* const> all, const LogitRows& logits) {
  // Of one pass: logits of a vocabulary of 150,000 take 600 KB a row, and on the GPU a pass takes as long for a few rows as for many.
  const std::size_t most_rows = model.source().gpu() ? 256 : 64;
  take_round(all, logits, std::vector<std::int64_t>(all.size()));
  for (;;) {
    std::vector<Search*> left;
    for (Search* const search : all)
      if (!search->is_done()) left.push_back(search);
    if (left.empty()) return;
    for (std::size_t begin = 0; begin < left.size();) {
      std::vector<PagedModel::Feed> feeds;
      std::vector<std::int64_t> first_rows;
      std::size_t rows = 0, end = begin;
      for (; end < left.size() && (end == begin || rows + left[end]->rows() <= most_rows); ++end) {
        first_rows.push_back(static_cast<std::int64_t>(rows));
        rows += left[end]->rows();
        left[end]->feeds(feeds);
      }
      const LogitRows found = model.feed(feeds);
      take_round(std::span<Search* const>(left).subspan(begin, end - begin), found, first_rows);
      begin = end;
    }
  }
}

}  // namespace

std::vector<LabelDistribution> label_distributions(PagedModel& model, const JsonGrammar& grammar, std::int32_t field,
                                                   std::span<const LabelPlace> places, const LogitRows& logits,
                                                   const LabelSearch& settings) {
  FieldSearch search(grammar, field, {places.begin(), places.end()}, settings);
  FieldSearch* const one = &search;
  search_together<FieldSearch>(model, {&one, 1}, logits);
  return search.distributions();
}

std::int32_t leading_choices(const AnswerSchema& schema) {
  const auto text = std::find_if(schema.fields.begin(), schema.fields.end(), [](const AnswerField& field) { return !field.is_choice(); });
  return static_cast<std::int32_t>(text - schema.fields.begin());
}

std::vector<ChoiceSearchResult> choice_distributions(PagedModel& model, std::span<const ChoicesOf> all, const LogitRows& logits) {
  std::vector<std::unique_ptr<ChoiceSearch>> searches;
  std::vector<ChoiceSearch*> pointers;
  for (const ChoicesOf& of : all) {
    searches.push_back(std::make_unique<ChoiceSearch>(of));
    pointers.push_back(searches.back().get());
  }
  search_together<ChoiceSearch>(model, pointers, logits);
  std::vector<ChoiceSearchResult> results;
  for (const auto& search : searches) results.push_back(search->result());
  return results;
}

}  // namespace deskhand
