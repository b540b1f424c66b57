// The cheap baselines. What they answer for validation tickets they have not learnt from; what for held-out ones, from everything else.
#include <algorithm>

#include "deskhand/app/evaluated_systems.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"
#include "deskhand/base/stopwatch.h"
#include "deskhand/classify/text_classifier.h"
#include "deskhand/triage/triager.h"

namespace deskhand {
namespace {

constexpr double kDensePenalty = 10;  // C on unit-length vectors of 384; between 1 and 100 the accuracy hardly moves

// Tickets with their texts as the classifiers take them.
struct Texts {
  std::vector<const Ticket*> tickets;
  std::vector<std::string_view> problems;

  void add(const Ticket& ticket) {
    tickets.push_back(&ticket);
    problems.push_back(problem_text(ticket));
  }
};

Texts texts_of(std::span<const Ticket> tickets, std::span<const Ticket> without = {}) {
  Texts texts;
  for (const Ticket& ticket : tickets)
    if (std::none_of(without.begin(), without.end(), [&](const Ticket& other) { return other.id == ticket.id; })) texts.add(ticket);
  return texts;
}

std::vector<std::string> urgency_names() {
  std::vector<std::string> names;
  for (int urgency = kMinUrgency; urgency <= kMaxUrgency; ++urgency) names.push_back(std::to_string(urgency));
  return names;
}

// Empty where a ticket has none.
std::string urgency_label(const Ticket& ticket) {
  return ticket.urgency >= kMinUrgency ? std::to_string(ticket.urgency) : "";
}

// A distribution over `labels` from one over the classes that a model has seen.
std::vector<double> spread(std::span<const double> p, std::span<const std::string> classes, std::span<const std::string> labels) {
  std::vector<double> over(labels.size(), 0);
  for (std::size_t c = 0; c < classes.size(); ++c)
    if (const auto at = std::find(labels.begin(), labels.end(), classes[c]); at != labels.end())
      over[static_cast<std::size_t>(at - labels.begin())] = p[c];
  return over;
}

void set_labels(Prediction& prediction, std::vector<double> urgency, std::vector<double> category,
                const std::vector<std::string>& categories) {
  const auto top = [](const std::vector<double>& p) { return static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin()); };
  if (!urgency.empty()) prediction.urgency = static_cast<int>(top(urgency)) + kMinUrgency;
  if (!category.empty()) prediction.category = categories[top(category)];
  prediction.urgency_probabilities = std::move(urgency);
  prediction.category_probabilities = std::move(category);
}

// (texts, labels) of one label kind; rows of texts without the label are not learnt from. No label at all: empty distributions.
template <class Fit>
std::vector<std::vector<double>> learn_and_tell(const Texts& learnt, std::size_t asked, std::span<const std::string> labels,
                                                const std::function<std::string(const Ticket&)>& label, const Fit& fit) {
  std::vector<std::int64_t> rows;
  std::vector<std::string> truths;
  for (std::size_t i = 0; i < learnt.tickets.size(); ++i)
    if (auto truth = label(*learnt.tickets[i]); !truth.empty()) {
      rows.push_back(static_cast<std::int64_t>(i));
      truths.push_back(std::move(truth));
    }
  std::vector<std::vector<double>> told(asked);
  if (rows.empty()) return told;
  std::vector<std::string> classes;
  const std::vector<double> p = fit(rows, truths, classes);  // (asked, classes)
  for (std::size_t i = 0; i < asked; ++i) told[i] = spread(std::span(p).subspan(i * classes.size(), classes.size()), classes, labels);
  return told;
}

FoundCase found_case(const Ticket& ticket, double similarity) {
  return {.ticket_id = ticket.id,
          .similarity = similarity,
          .problem = problem_text(ticket),
          .resolution = resolution_text(ticket),
          .category = ticket.category,
          .urgency = ticket.urgency};
}

std::vector<Prediction> blank(std::span<const Ticket> tickets) {
  std::vector<Prediction> predictions;
  for (const Ticket& ticket : tickets) predictions.push_back({.ticket_id = ticket.id, .source = "none"});
  return predictions;
}

// The nearest ticket that has a resolution lends it; the three nearest are the cases.
void answer_as_nearest(Prediction& prediction, const std::vector<std::pair<const Ticket*, double>>& nearest) {
  constexpr std::size_t kCases = 3;
  for (const auto& [ticket, similarity] : nearest) {
    if (prediction.cases.size() < kCases) prediction.cases.push_back(found_case(*ticket, similarity));
    if (prediction.resolution.empty() && !resolution_text(*ticket).empty()) {
      prediction.resolution = resolution_text(*ticket);
      prediction.source = "case";
    }
  }
}

class Baseline {
 public:
  Baseline(const EvaluationRun& run, const EvaluationSplit& split) : run_(run), split_(split), urgencies_(urgency_names()) {}

  double answering_s() const { return answering_s_; }  // so far, what was learnt from counted out

  // Answers to `asked`, learnt from the split's training tickets but those of `without`.
  std::vector<Prediction> majority(std::span<const Ticket> asked, std::span<const Ticket> without) const {
    const Texts learnt = texts_of(split_.train, without);
    const auto shares = [&](std::span<const std::string> labels, const std::function<std::string(const Ticket&)>& label) {
      std::vector<std::int64_t> counts(labels.size(), 0);
      std::int64_t known = 0;
      for (const Ticket* ticket : learnt.tickets)
        if (const auto at = std::find(labels.begin(), labels.end(), label(*ticket)); at != labels.end())
          ++counts[static_cast<std::size_t>(at - labels.begin())], ++known;
      return known > 0 ? smoothed_prior(counts) : std::vector<double>();
    };
    const auto urgency = shares(urgencies_, urgency_label), category = shares(split_.categories, category_label);
    const AnsweringTime answering(*this);
    auto predictions = blank(asked);
    for (Prediction& prediction : predictions) set_labels(prediction, urgency, category, split_.categories);
    return predictions;
  }

  std::vector<Prediction> tf_idf(std::span<const Ticket> asked, std::span<const Ticket> without) const {
    const Texts learnt = texts_of(split_.train, without), questions = texts_of(asked);
    std::size_t labels_seen = 0;
    const auto fit = [&](const std::vector<std::int64_t>& rows, const std::vector<std::string>& truths, std::vector<std::string>& classes) {
      std::vector<std::string_view> texts;
      for (const auto row : rows) texts.push_back(learnt.problems[static_cast<std::size_t>(row)]);
      TextClassifierSettings settings;
      // The penalty is chosen once, on all that may be learnt from; leaving the validation tickets out does not move it.
      if (!without.empty() && penalties_.size() > labels_seen) settings.C = {penalties_[labels_seen]};
      const auto classifier = TextClassifier::fit(texts, truths, settings, run_.engine.pool);
      if (without.empty()) penalties_.push_back(classifier.C());
      ++labels_seen;
      classes = classifier.classes();
      const AnsweringTime answering(*this);
      return classifier.predict_proba(questions.problems);
    };
    auto predictions = labelled(asked, learnt, fit);
    TfidfVectorizer vectorizer({.max_ngram = 2, .sublinear_tf = true});
    const SparseRows rows = vectorizer.fit(learnt.problems);
    const NearestRows index(rows);
    const AnsweringTime answering(*this);
    const SparseRows queries = vectorizer.transform(questions.problems);
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      std::vector<std::pair<const Ticket*, double>> nearest;
      for (const NearRow& row : index.nearest(queries.row(static_cast<std::int64_t>(i)), kNearest))
        nearest.emplace_back(learnt.tickets[static_cast<std::size_t>(row.row)], row.cosine);
      answer_as_nearest(predictions[i], nearest);
    }
    return predictions;
  }

  std::vector<Prediction> encoded(std::span<const Ticket> asked, std::span<const Ticket> without) const {
    const Texts learnt = texts_of(split_.train, without);
    const auto width = run_.vectors->width();
    const auto vectors_of = [&](const Texts& texts) {
      std::vector<std::string> problems(texts.problems.begin(), texts.problems.end());
      return run_.vectors->embed(problems);
    };
    const auto vectors = vectors_of(learnt), questions = vectors_of(texts_of(asked));
    const auto row_of = [width](const std::vector<float>& all, std::int64_t row) {
      return std::span(all).subspan(static_cast<std::size_t>(row * width), static_cast<std::size_t>(width));
    };
    const auto fit = [&](const std::vector<std::int64_t>& rows, const std::vector<std::string>& truths, std::vector<std::string>& classes) {
      std::vector<float> picked;
      for (const auto row : rows) picked.insert(picked.end(), row_of(vectors, row).begin(), row_of(vectors, row).end());
      const auto model = LogisticRegression::fit(RowsView(picked, width), truths, {.C = kDensePenalty}, run_.engine.pool);
      classes = model.classes();
      const AnsweringTime answering(*this);
      return model.predict_proba(RowsView(questions, width));
    };
    auto predictions = labelled(asked, learnt, fit);
    answering_s_ += embedding_s(asked);
    const AnsweringTime answering(*this);
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      std::vector<std::pair<const Ticket*, double>> nearest;
      for (std::size_t t = 0; t < learnt.tickets.size(); ++t) {
        const auto a = row_of(questions, static_cast<std::int64_t>(i)), b = row_of(vectors, static_cast<std::int64_t>(t));
        double cosine = 0;
        for (std::size_t c = 0; c < a.size(); ++c) cosine += double{a[c]} * b[c];
        nearest.emplace_back(learnt.tickets[t], cosine);
      }
      const auto kept = std::min(nearest.size(), static_cast<std::size_t>(kNearest));
      std::partial_sort(nearest.begin(), nearest.begin() + static_cast<std::ptrdiff_t>(kept), nearest.end(),
                        [](const auto& a, const auto& b) { return a.second > b.second; });
      nearest.resize(kept);
      answer_as_nearest(predictions[i], nearest);
    }
    return predictions;
  }

 private:
  static constexpr std::int64_t kNearest = 10;
  // Its time is counted as answering.
  class AnsweringTime {
   public:
    explicit AnsweringTime(const Baseline& baseline) : baseline_(baseline) {}
    ~AnsweringTime() { baseline_.answering_s_ += watch_.seconds(); }
    AnsweringTime(const AnsweringTime&) = delete;
    AnsweringTime& operator=(const AnsweringTime&) = delete;

   private:
    const Baseline& baseline_;
    Stopwatch watch_;
  };

  // What the vectors of these texts would take if none were kept: by some of them.
  double embedding_s(std::span<const Ticket> asked) const {
    constexpr std::size_t kTimed = 16;
    std::vector<std::string> problems;
    for (const Ticket& ticket : asked.first(std::min(kTimed, asked.size()))) problems.push_back(problem_text(ticket));
    if (problems.empty()) return 0;
    const Stopwatch watch;
    run_.encoder->embedder().embed(problems);
    return watch.seconds() * static_cast<double>(asked.size()) / static_cast<double>(problems.size());
  }

  static std::string category_label(const Ticket& ticket) { return ticket.category; }

  template <class Fit>
  std::vector<Prediction> labelled(std::span<const Ticket> asked, const Texts& learnt, const Fit& fit) const {
    auto urgency = learn_and_tell(learnt, asked.size(), urgencies_, urgency_label, fit);
    auto category = learn_and_tell(learnt, asked.size(), split_.categories, category_label, fit);
    auto predictions = blank(asked);
    for (std::size_t i = 0; i < asked.size(); ++i)
      set_labels(predictions[i], std::move(urgency[i]), std::move(category[i]), split_.categories);
    return predictions;
  }

  const EvaluationRun& run_;
  const EvaluationSplit& split_;
  std::vector<std::string> urgencies_;
  mutable double answering_s_ = 0;
  mutable std::vector<double> penalties_;  // C of TF-IDF's regressions, one a label kind that has truths
};

}  // namespace

std::vector<EvaluatedSystem> run_baselines(const EvaluationRun& run, EvaluationSplit& split) {
  const Baseline baseline(run, split);
  using Answer = std::vector<Prediction> (Baseline::*)(std::span<const Ticket>, std::span<const Ticket>) const;
  struct Kind {
    const char* name;
    const char* description;
    Answer answer;
    bool needs_encoder;
  };
  static constexpr Kind kKinds[] = {
      {"majority", "The commonest urgency and category, whatever the ticket says.", &Baseline::majority, false},
      {"TF-IDF + LR", "Logistic regression on words and pairs of words; the resolution of the ticket nearest in words.", &Baseline::tf_idf,
       false},
      {"MiniLM + LR", "Logistic regression on the encoder's vectors; the resolution of the ticket nearest in meaning.", &Baseline::encoded,
       true}};
  std::vector<EvaluatedSystem> systems;
  Progress progress({.what = fmt::format("baselines, split {}", split.name),
                     .unit = "systems",
                     .total = run.vectors ? 4 : 3,
                     .quiet = run.globals.quiet});
  const auto add = [&](const char* name, const char* description, std::vector<Prediction> test, std::vector<Prediction> validation) {
    EvaluatedSystem system;
    system.answers.identity = {.name = name, .kind = "baseline", .description = description, .data_hash = split.data_hash};
    if (run.encoder) system.answers.identity.model_hash = run.encoder->id().hash;
    system.key = sha256(fmt::format("baseline 2\n{}\n{}\n{}", name, split.train_hash, system.answers.identity.model_hash));
    system.answers.predictions = std::move(test);
    system.answers.validation = std::move(validation);
    for (const Ticket& ticket : split.validation) system.answers.validation_truth.push_back(held_out(ticket));
    systems.push_back(std::move(system));
    progress.advance();
  };
  for (const auto& [name, description, answer, needs_encoder] : kKinds) {
    if (needs_encoder && !run.vectors) continue;
    check_interrupt();
    const double before = baseline.answering_s();
    auto test = (baseline.*answer)(split.test, {});
    const double seconds = (baseline.answering_s() - before) / static_cast<double>(test.size());
    for (Prediction& prediction : test) prediction.seconds = seconds;
    auto validation = split.validation.empty() ? std::vector<Prediction>() : (baseline.*answer)(split.validation, split.validation);
    add(name, description, std::move(test), std::move(validation));
  }
  SystemSettings votes{.name = "kNN votes",
                       .kind = "baseline",
                       .decoder = "",
                       .cases = run.desk.settings.answer.cases,
                       .decide = Witness::kVotes,
                       .mend = true};
  EvaluatedSystem neighbours = run_decoder(run, split, votes);
  neighbours.answers.identity.description = "Votes of the most similar past cases; the best case's resolution. No language model.";
  systems.insert(systems.begin() + 1, std::move(neighbours));
  progress.advance();
  progress.finish();
  return systems;
}

}  // namespace deskhand
