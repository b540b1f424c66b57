#include "deskhand/app/verify_export.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "deskhand/app/desk.h"
#include "deskhand/app/desk_decoder.h"
#include "deskhand/app/draw_split.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {
namespace {

constexpr std::int64_t kPositions = 32;      // of each text, its last: the answer and what leads to it
constexpr std::size_t kMostTokens = 512;     // of a text; a longer one's end counts
constexpr std::size_t kMostCategories = 40;  // a long list makes long prompts, and drift shows in any of them

ProbeTexts own_texts() {
  ProbeTexts texts{.about = "6 texts of the program's own", .categories = {"Access", "Hardware", "Network", "Printing", "Software"}};
  for (const auto& [query, urgency, category, resolution] :
       {std::tuple{"The scanner at the warehouse gate does not read labels since the update this morning, trucks are waiting.", 1,
                   "Hardware", "The firmware was set back to the last version and labels are read again."},
        std::tuple{"I forgot my password and the reset mail does not arrive.", 3, "Access", "The mail address on file was corrected."},
        std::tuple{"Printing invoices gives empty pages on the second tray.", 3, "Printing",
                   "The tray's paper size was wrong in the driver."},
        std::tuple{"VPN drops every ten minutes when I work from home.", 2, "Network", "The keep-alive of the router was switched on."},
        std::tuple{"Could we have the monthly report as a spreadsheet as well?", 5, "Software",
                   "The export button of the report was shown."},
        std::tuple{"Nobody in accounting can log in, error 0x80070005, month end is today!", 1, "Access",
                   "The group policy that removed the right to log in was taken back."}})
    texts.probes.push_back({query, write_answer(urgency, category, resolution)});
  return texts;
}

// One model's answers to all texts.
struct Answers {
  std::vector<std::vector<std::int32_t>> tokens;  // of each text
  std::vector<Tensor> logits;                     // of each text: its last positions
  std::vector<std::vector<double>> labels;        // of each text: urgencies, then categories
  std::vector<std::pair<std::size_t, std::size_t>> chosen;
};

std::size_t likeliest(std::span<const float> values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

Answers answers_of(const Engine& engine, const VerifiedStage& stage, const ProbeTexts& texts,
                   const std::vector<std::vector<std::int32_t>>* given) {
  DeskDecoder desk(stage.load(), load_tokenizer(stage.tokenizer), texts.settings, engine.backend, texts.categories);
  const Decoder& decoder = desk.decoder();
  const Tokenizer& tokenizer = *desk.tokenizer().tokenizer;
  const ChatTemplate* chat = desk.tokenizer().chat ? &*desk.tokenizer().chat : nullptr;
  PromptSettings prompt = prompt_settings(texts.settings, texts.categories);
  if (!chat) prompt.style = PromptStyle::kInstruction;
  const auto most = std::min<std::int64_t>(static_cast<std::int64_t>(kMostTokens), decoder.config().max_positions);
  DecoderBuffers buffers = decoder.make_buffers({.tokens = most, .positions = most});
  Answers answers;
  std::vector<Question> questions;
  for (std::size_t i = 0; i < texts.probes.size(); ++i) {
    check_interrupt();
    auto ids = write_prompt(texts.probes[i].query, {}, prompt, tokenizer, chat).ids;
    const auto answer = tokenizer.encode(texts.probes[i].answer);
    ids.insert(ids.end(), answer.begin(), answer.end());
    if (static_cast<std::int64_t>(ids.size()) > most) ids.erase(ids.begin(), ids.end() - most);
    answers.tokens.push_back(ids);
    const auto& read = given ? given->at(i) : ids;  // the same ids through both, whatever the tokenizers say
    const auto count = static_cast<std::int64_t>(read.size()), shown = std::min(kPositions, count);
    std::vector<std::int32_t> rows(static_cast<std::size_t>(shown));
    std::iota(rows.begin(), rows.end(), static_cast<std::int32_t>(count - shown));
    Tensor logits(DType::kF32, {shown, decoder.config().vocabulary});
    const std::vector<std::int32_t> bounds = {0, static_cast<std::int32_t>(count)};
    decoder.forward_packed(engine.backend, buffers, read, bounds, rows, logits);
    answers.logits.push_back(std::move(logits));
    questions.push_back(
        {.query = texts.probes[i].query,
         .decide = [](LabelKind,
                      std::span<const double> p) { return static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin()); },
         .labels_only = true});
  }
  for (const auto& outcome : desk.model().answer(questions)) {
    if (!outcome) throw Error(ExitCode::kBadInput, "{}: the model cannot be asked for labels: {}", stage.name, outcome.error());
    std::vector<double> labels = outcome->urgency;
    const auto first = [](const std::vector<double>& p) {
      return static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin());
    };
    answers.chosen.emplace_back(first(outcome->urgency), first(outcome->category));
    labels.insert(labels.end(), outcome->category.begin(), outcome->category.end());
    answers.labels.push_back(std::move(labels));
  }
  return answers;
}

Drift compare(const Answers& trained, const Answers& stage) {
  Drift drift{.same_tokens = trained.tokens == stage.tokens};
  double sum = 0, sum_of_values = 0, sum_of_squares = 0;
  std::int64_t count = 0, rows = 0, same = 0;
  for (std::size_t text = 0; text < trained.logits.size(); ++text) {
    const auto a = trained.logits[text].floats(), b = stage.logits[text].floats();
    const auto width = static_cast<std::size_t>(trained.logits[text].shape()[1]);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double wanted = static_cast<double>(a[i]), difference = std::abs(wanted - static_cast<double>(b[i]));
      drift.largest = std::isfinite(difference) ? std::max(drift.largest, difference) : INFINITY;
      sum += difference;
      sum_of_values += wanted;
      sum_of_squares += wanted * wanted;
    }
    for (std::size_t row = 0; row < a.size(); row += width, ++rows)
      same += likeliest(a.subspan(row, width)) == likeliest(b.subspan(row, width));
    count += static_cast<std::int64_t>(a.size());
  }
  const auto all = static_cast<double>(count);
  drift.mean = sum / all;
  const double spread = std::sqrt(std::max(0.0, sum_of_squares / all - (sum_of_values / all) * (sum_of_values / all)));
  drift.relative = spread > 0 ? drift.mean / spread : drift.mean;
  drift.top1 = static_cast<double>(same) / static_cast<double>(rows);
  std::size_t kept = 0;
  for (std::size_t text = 0; text < trained.labels.size(); ++text) {
    kept += trained.chosen[text] == stage.chosen[text];
    // Categories are asked for under the urgency that was decided: where that one moved, they answer another question.
    const std::size_t comparable = trained.chosen[text].first == stage.chosen[text].first ? trained.labels[text].size() : 5;
    for (std::size_t i = 0; i < comparable; ++i)
      drift.labels = std::max(drift.labels, std::abs(trained.labels[text][i] - stage.labels[text][i]));
  }
  drift.same_labels = static_cast<double>(kept) / static_cast<double>(trained.labels.size());
  return drift;
}

}  // namespace

ProbeTexts probe_texts(const Globals& globals, int count) {
  ProbeTexts texts = own_texts();
  if (!std::filesystem::exists(globals.desk / "desk.toml")) return texts;
  Desk desk = Desk::open(globals);
  texts.settings = desk.settings;
  TicketStore store(desk.database);
  const auto tickets = draw_tickets(store.all(Part::kTest), 4 * count, 42);
  ProbeTexts own{.settings = desk.settings};
  std::set<std::string> categories;
  for (const Ticket& ticket : tickets) {
    if (static_cast<int>(own.probes.size()) == count) break;
    if (problem_text(ticket).empty() || resolution_text(ticket).empty() || ticket.category.empty() || ticket.urgency < kMinUrgency ||
        ticket.urgency > kMaxUrgency)
      continue;
    own.probes.push_back({problem_text(ticket), write_answer(ticket.urgency, ticket.category, resolution_text(ticket))});
    categories.insert(ticket.category);
  }
  if (own.probes.empty()) return texts;
  store.each(Part::kNotTest, false, [&](const Ticket& ticket) {
    if (!ticket.category.empty() && categories.size() < kMostCategories) categories.insert(ticket.category);
  });
  own.categories.assign(categories.begin(), categories.end());
  own.about = fmt::format("{} held-out tickets of the desk", own.probes.size());
  return own;
}

DriftLimits limits_of(DType stored) {
  switch (stored) {
    case DType::kF32:
      return {.relative = 2e-4, .top1 = .99, .labels = .002};
    case DType::kF16:
      return {.relative = .005, .top1 = .97, .labels = .02};
    case DType::kBF16:
      return {.relative = .03, .top1 = .93, .labels = .1};
    case DType::kQ4_0:
      return {.relative = .35, .top1 = .6, .labels = .5};
    default:
      return {.relative = .05, .top1 = .9, .labels = .15};
  }
}

std::string fault_of(const Drift& drift, DType stored) {
  const DriftLimits limits = limits_of(stored);
  if (!drift.same_tokens) return "its tokenizer gives other tokens than the trained model's";
  if (!(drift.relative <= limits.relative))
    return fmt::format("logits moved by {:.2g} of their spread on average, at most {:g} is allowed for {}", drift.relative, limits.relative,
                       dtype_name(stored));
  if (!(drift.top1 >= limits.top1))
    return fmt::format("{:.1f} % of the likeliest tokens stayed, at least {:g} % is wanted for {}", 100 * drift.top1, 100 * limits.top1,
                       dtype_name(stored));
  if (!(drift.labels <= limits.labels))
    return fmt::format("a label's probability moved by {:.3f}, at most {:g} is allowed for {}", drift.labels, limits.labels,
                       dtype_name(stored));
  return "";
}

std::vector<Drift> measure_drift(const Engine& engine, const VerifiedStage& trained, const std::vector<VerifiedStage>& stages,
                                 const ProbeTexts& texts) {
  const Answers wanted = answers_of(engine, trained, texts, nullptr);
  std::vector<Drift> drifts;
  for (const VerifiedStage& stage : stages) drifts.push_back(compare(wanted, answers_of(engine, stage, texts, &wanted.tokens)));
  return drifts;
}

}  // namespace deskhand
