#include "deskhand/generate/generator.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/generate/repetition_guard.h"
#include "deskhand/ops/log_softmax.h"

namespace deskhand {
namespace {

constexpr std::size_t kGrammarsKept = 8;
constexpr double kLate = .85;        // share of the budget after which the next sentence's end is the text's end
constexpr double kOnlyRepeats = .1;  // of the probability: with less left beside repeats the text is at its end

class Stopwatch {
 public:
  double ms() const { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

std::shared_ptr<const TokenTrie> token_trie(const Tokenizer& tokenizer) {
  std::vector<std::string> bytes(static_cast<std::size_t>(tokenizer.size()));
  for (std::int32_t id = 0; id < tokenizer.size(); ++id)
    if (!tokenizer.is_special(id)) bytes[static_cast<std::size_t>(id)] = tokenizer.token_bytes(id);
  return std::make_shared<const TokenTrie>(std::move(bytes), [&tokenizer](std::string_view text) { return tokenizer.encode(text); });
}

// One text being written: an answer under a grammar, or without one a completion. `written` is fed to the model later than it is decided.
struct Generator::Run {
  Run(std::span<const std::int32_t> prompt, const DraftSettings& drafts)
      : lookup(prompt, drafts), prompt_tokens(static_cast<std::int32_t>(prompt.size())) {}

  std::shared_ptr<const JsonGrammar> grammar;  // null: free
  JsonGrammar::State state;
  KvCache::Sequence sequence;
  PromptLookup lookup;
  RepetitionGuard guard;
  SamplerSettings sampler;
  bool use_drafts = true;
  std::int32_t prompt_tokens;
  std::int32_t max_new_tokens = 0;
  std::vector<std::int32_t> stop_tokens;

  std::vector<std::int32_t> written, drafts;
  std::size_t text_begin = 0;     // in `written`: where the free string that is being written begins
  JsonGrammar::State text_state;  // there
  bool done = false, stopped = false, cut_short = false;
  Answer answer;  // statistics, distributions

  std::int32_t left() const { return max_new_tokens - static_cast<std::int32_t>(written.size()); }
  std::size_t fed() const { return static_cast<std::size_t>(sequence.length() - prompt_tokens); }

  void write(std::int32_t token);
  void write_all(std::span<const std::int32_t> tokens) {
    for (const std::int32_t token : tokens) write(token);
  }
  std::vector<std::int32_t> forced() const;
  void cut_to(std::size_t count);
  bool close_at(std::size_t text_tokens);
  std::int32_t choose(const LogitRows& logits, std::int64_t row);
  void propose();
  void take(const LogitRows& logits, std::int64_t first_row);
};

void Generator::Run::write(std::int32_t token) {
  written.push_back(token);
  lookup.push(token);
  if (!grammar) {
    done = left() == 0;
    return;
  }
  const JsonGrammar::State before = state;
  const bool allowed = grammar->advance(state, token);
  DESKHAND_ASSERT(allowed, "a token that the grammar allows");
  if (grammar->is_text(state)) {
    const std::string_view bytes = grammar->tokens().bytes(token);
    if (!grammar->is_text(before)) {
      text_begin = written.size();
      text_state = state;
      guard = {};
    }
    if (state.text_bytes > 0 && grammar->is_text(before))
      guard.push(token, bytes.substr(bytes.size() - static_cast<std::size_t>(state.text_bytes - before.text_bytes)));
  }
  done = grammar->is_complete(state);
}

std::vector<std::int32_t> Generator::Run::forced() const {
  if (!grammar || done) return {};
  auto tokens = grammar->forced(state);
  JsonGrammar::State after = state;
  for (const std::int32_t token : tokens) grammar->advance(after, token);
  if (static_cast<std::int32_t>(tokens.size()) + grammar->tokens_to_close(after) > left()) tokens.clear();  // the mask knows a shorter way
  return tokens;
}

// Takes back what was written after `count` tokens, from the cache too. Never further than the free string's beginning.
void Generator::Run::cut_to(std::size_t count) {
  DESKHAND_ASSERT(count >= text_begin && count <= written.size(), "a place in the free string");
  lookup.pop(written.size() - count);
  written.resize(count);
  guard.truncate(count - text_begin);
  state = text_state;
  for (std::size_t i = text_begin; i < count; ++i) grammar->advance(state, written[i]);
  if (fed() > count) sequence.truncate(prompt_tokens + static_cast<std::int32_t>(count));
}

// Ends the free string after so many of its tokens, or a little earlier where a character is not whole or the budget does not hold the end.
// False if that leaves nothing.
bool Generator::Run::close_at(std::size_t text_tokens) {
  std::vector<JsonGrammar::State> states{text_state};
  for (std::size_t i = 0; i < text_tokens; ++i) {
    states.push_back(states.back());
    grammar->advance(states.back(), written[text_begin + i]);
  }
  for (; text_tokens > 0; --text_tokens) {
    const auto closing = grammar->closing(states[text_tokens]);
    const std::size_t count = text_begin + text_tokens;
    if (closing.empty() || static_cast<std::int32_t>(count + closing.size()) > max_new_tokens) continue;
    auto after = states[text_tokens];
    for (const std::int32_t token : closing) grammar->advance(after, token);
    if (static_cast<std::int32_t>(count + closing.size()) + grammar->tokens_to_close(after) > max_new_tokens) continue;
    cut_to(count);
    cut_short = true;
    write_all(closing);
    return true;
  }
  return false;
}

// The next token, or -1 if the free string was closed instead (close_at has then written the end).
std::int32_t Generator::Run::choose(const LogitRows& logits, std::int64_t row) {
  const auto step = static_cast<std::uint64_t>(written.size());
  const auto some = [](std::int32_t token) {
    DESKHAND_ASSERT(token >= 0, "a way on from every state");
    return token;
  };
  if (!grammar) return some(logits.pick(row, nullptr, {}, sampler, step));
  const auto mask = grammar->allowed(state, left());
  if (!grammar->is_text(state)) return some(logits.pick(row, mask.get(), {}, {}, step));

  if (const auto keep = guard.repeats_from(); keep && close_at(*keep)) return -1;
  const auto banned = guard.banned();
  const std::int32_t token = logits.pick(row, mask.get(), banned, sampler, step);
  if (!banned.empty()) {
    double all = 0, fresh = 0;
    const auto values = logits.row(row);
    const double total = log_sum_exp(values);
    mask->for_each([&](std::int32_t one) {
      if (static_cast<std::size_t>(one) >= values.size()) return;
      const double p = std::exp(values[static_cast<std::size_t>(one)] - total);
      all += p;
      if (std::find(banned.begin(), banned.end(), one) == banned.end()) fresh += p;
    });
    if (token < 0 || fresh < kOnlyRepeats * all) {
      const auto repeat = guard.repeats_from(true);
      if (close_at(repeat ? *repeat : guard.last_sentence_end().value_or(guard.size()))) return -1;
    }
  }
  if (token < 0) return some(logits.pick(row, mask.get(), {}, sampler, step));

  JsonGrammar::State after = state;
  grammar->advance(after, token);
  if (!grammar->is_text(after)) {
    if (const auto keep = guard.repeats_from(true); keep && close_at(*keep)) return -1;
    // Closed only because the budget says so: rather after the last whole sentence, if that keeps half of the text.
    const bool own_will = logits.pick(row, grammar->allowed(state).get(), banned, sampler, step) == token;
    const auto end = guard.last_sentence_end();
    if (!own_will) cut_short = true;
    if (!own_will && end && 2 * *end >= guard.size() && close_at(*end)) return -1;
    return token;
  }
  const double budget = max_new_tokens - static_cast<double>(text_begin);
  const double bytes = grammar->schema().fields[static_cast<std::size_t>(grammar->field(state))].max_bytes;
  const bool late = static_cast<double>(guard.size()) >= kLate * budget || state.text_bytes >= kLate * bytes;
  const char first = grammar->tokens().bytes(token)[0];
  if (late && guard.at_sentence_end() && (first == ' ' || first == '\\') && close_at(guard.repeats_from(true).value_or(guard.size())))
    return -1;
  return token;
}

// Drafts stay inside the free string.
void Generator::Run::propose() {
  drafts.clear();
  if (!use_drafts || done || (grammar && !grammar->is_text(state))) return;
  JsonGrammar::State at = state;
  for (const std::int32_t token : lookup.draft()) {
    if (static_cast<std::int32_t>(drafts.size()) + 1 >= left()) break;
    if (grammar && (!grammar->advance(at, token) || !grammar->is_text(at))) break;
    if (std::find(stop_tokens.begin(), stop_tokens.end(), token) != stop_tokens.end()) break;
    drafts.push_back(token);
  }
}

// Logits behind the last written token and behind each draft: as many drafts are kept as are what would have been chosen.
void Generator::Run::take(const LogitRows& logits, std::int64_t first_row) {
  const std::vector<std::int32_t> guesses = std::move(drafts);
  drafts.clear();
  const std::size_t before = written.size();
  std::size_t accepted = 0;
  for (std::size_t i = 0; i <= guesses.size() && !done; ++i) {
    const std::int32_t token = choose(logits, first_row + static_cast<std::int64_t>(i));
    if (token < 0) break;
    if (std::find(stop_tokens.begin(), stop_tokens.end(), token) != stop_tokens.end()) {
      done = stopped = true;
      break;
    }
    write(token);
    if (i == guesses.size() || token != guesses[i]) break;
    ++accepted;
  }
  lookup.judge(guesses.size(), accepted);
  answer.statistics.drafted_tokens += static_cast<std::int32_t>(guesses.size());
  answer.statistics.accepted_tokens += static_cast<std::int32_t>(accepted);
  // Guesses that were not kept leave the cache; where the text was cut, cut_to has done it.
  sequence.truncate(prompt_tokens + static_cast<std::int32_t>(std::min(fed(), before + accepted)));
  write_all(forced());
  propose();
}

Generator::Generator(const Decoder& decoder, const Tokenizer& tokenizer, const Backend& on, GeneratorSettings settings)
    : Generator(std::make_unique<DecoderLogits>(decoder, on, settings.limits), token_trie(tokenizer), decoder.config().eos,
                std::move(settings)) {
  if (const auto eos = tokenizer.eos(); eos && std::find(stop_tokens_.begin(), stop_tokens_.end(), *eos) == stop_tokens_.end())
    stop_tokens_.push_back(*eos);
}

Generator::Generator(std::unique_ptr<LogitsSource> source, std::shared_ptr<const TokenTrie> tokens, std::vector<std::int32_t> stop_tokens,
                     GeneratorSettings settings)
    : source_(std::move(source)),
      tokens_(std::move(tokens)),
      stop_tokens_(std::move(stop_tokens)),
      settings_(std::move(settings)),
      model_(*source_, settings_.cache) {
  for (std::int32_t token = source_->vocabulary(); token < tokens_->size(); ++token)
    if (!tokens_->bytes(token).empty())
      throw Error(ExitCode::kBadInput, "the tokenizer has {} tokens, the model {}: they do not belong together", tokens_->size(),
                  source_->vocabulary());
  if (settings_.together < 1)
    throw Error(ExitCode::kUsage, "{} answers are to be written together; 1 or more are possible", settings_.together);
}

Generator::~Generator() = default;

std::shared_ptr<const JsonGrammar> Generator::grammar(const AnswerSchema& schema) {
  const std::string key = schema.text();
  auto found = std::find_if(grammars_.begin(), grammars_.end(), [&](const auto& one) { return one.first == key; });
  if (found == grammars_.end()) {
    grammars_.emplace_front(key, std::make_shared<const JsonGrammar>(schema, tokens_));
    if (grammars_.size() > kGrammarsKept) grammars_.pop_back();
  } else {
    grammars_.splice(grammars_.begin(), grammars_, found);
  }
  return grammars_.front().second;
}

LogitRows Generator::read_prompt(Run& run, std::span<const std::int32_t> prompt, std::span<const std::int32_t> lead,
                                 const std::string& adapter_id, bool remember) {
  const Stopwatch watch;
  const std::string key = settings_.model_id + '\n' + adapter_id;
  AnswerStatistics& statistics = run.answer.statistics;
  run.sequence = model_.cache().recall(key, prompt);
  statistics.prompt_tokens = run.prompt_tokens;
  statistics.cached_tokens = run.sequence.length();
  std::vector<std::int32_t> tokens(prompt.begin() + run.sequence.length(), prompt.end());
  tokens.insert(tokens.end(), lead.begin(), lead.end());
  const PagedModel::Feed feed{&run.sequence, tokens, 1};
  const LogitRows logits = model_.feed_rows({&feed, 1});
  if (remember) model_.cache().remember(key, prompt, run.sequence);
  statistics.prompt_ms = watch.ms();
  return logits;
}

std::unique_ptr<Generator::Run> Generator::begin(std::span<const std::int32_t> prompt, const AnswerSchema& schema,
                                                 const AnswerOptions& options) {
  check(options.sampler);
  if (prompt.empty()) throw Error(ExitCode::kUsage, "the prompt is empty; at least one token is wanted");
  auto run = std::make_unique<Run>(prompt, settings_.drafts);
  run->grammar = grammar(schema);
  run->sampler = options.sampler;
  run->use_drafts = options.drafts && settings_.drafts.most > 0;
  run->max_new_tokens = options.max_new_tokens;
  const JsonGrammar& grammar = *run->grammar;
  const auto check_budget = [&](std::size_t lead, const JsonGrammar::State& at) {
    const std::int32_t least = static_cast<std::int32_t>(lead) + grammar.tokens_to_close(at);
    if (options.max_new_tokens < least)
      throw Error(ExitCode::kUsage, "max_new_tokens is {}, but the answer's keys and labels alone take {}; allow more",
                  options.max_new_tokens, least);
  };
  check_budget(0, grammar.start());
  if (static_cast<std::int64_t>(prompt.size()) + options.max_new_tokens > source_->positions())
    throw Error(ExitCode::kTooLarge, "the prompt has {} tokens and the answer may take {}, the model reads at most {}; shorten the prompt",
                prompt.size(), options.max_new_tokens, source_->positions());
  const std::int64_t passes = model_.passes();

  const std::int32_t choices = leading_choices(schema);
  if (!options.distributions || choices == 0) {
    const auto lead = run->forced();
    const auto logits = read_prompt(*run, prompt, lead, options.adapter_id, options.remember_prompt);
    run->write_all(lead);
    const std::int32_t token = run->choose(logits, 0);
    if (token >= 0) run->write(token);
    run->write_all(run->forced());
  } else {
    const auto stem = tokens_->spell(grammar.stem_before(0, {}));
    const auto logits = read_prompt(*run, prompt, stem, options.adapter_id, options.remember_prompt);
    const Stopwatch watch;
    auto search = choice_distributions(model_, grammar, run->sequence, logits.row(0), options.labels);
    run->answer.distributions = std::move(search.distributions);
    const ChoiceDistributions& known = run->answer.distributions;
    std::vector<std::int32_t> labels;
    if (options.decide) {
      labels = options.decide(known);
      bool fits = labels.size() == static_cast<std::size_t>(choices);
      for (std::size_t i = 0; fits && i < labels.size(); ++i)
        fits = labels[i] >= 0 && static_cast<std::size_t>(labels[i]) < schema.fields[i].labels.size();
      DESKHAND_ASSERT(fits, "decide names one label of each choice");
    } else {
      for (const LabelDistribution& field : known.fields)
        labels.push_back(static_cast<std::int32_t>(std::max_element(field.p.begin(), field.p.end()) - field.p.begin()));
    }

    // The text up to the next free string or the end, token by token as some branch was fed it, so that its pages can be gone on from.
    const bool ends = static_cast<std::size_t>(choices) == schema.fields.size();
    const std::string whole = ends ? grammar.text_before(choices - 1, labels) + grammar.value_bytes(choices - 1, labels.back()) + "}"
                                   : grammar.text_before(choices, labels);
    const auto branch = std::find_if(search.branches.begin(), search.branches.end(), [&](const ChoiceBranch& one) {
      return std::equal(one.labels.begin(), one.labels.end(), labels.begin());
    });
    std::vector<std::int32_t> lead = stem;
    std::string fed = grammar.stem_before(0, {});
    for (std::int32_t field = 1; field < choices; ++field) {
      const std::string next = grammar.stem_before(field, labels);
      const auto tokens = tokens_->spell(std::string_view(next).substr(fed.size()));
      lead.insert(lead.end(), tokens.begin(), tokens.end());
      fed = next;
    }
    if (branch != search.branches.end()) run->sequence = std::move(branch->sequence);
    const auto rest = tokens_->spell(std::string_view(whole).substr(fed.size()));
    lead.insert(lead.end(), rest.begin(), rest.end());
    JsonGrammar::State at = grammar.start();
    grammar.advance(at, whole);
    check_budget(lead.size(), at);
    run->write_all(lead);
    run->answer.statistics.labels_ms = watch.ms();
  }
  run->answer.statistics.passes = model_.passes() - passes;
  return run;
}

void Generator::step(std::span<Run* const> runs) {
  std::vector<std::vector<std::int32_t>> tokens;
  for (const Run* run : runs) {
    tokens.emplace_back(run->written.begin() + static_cast<std::ptrdiff_t>(run->fed()), run->written.end());
    tokens.back().insert(tokens.back().end(), run->drafts.begin(), run->drafts.end());
  }
  std::vector<PagedModel::Feed> feeds;
  for (std::size_t i = 0; i < runs.size(); ++i)
    feeds.push_back({&runs[i]->sequence, tokens[i], static_cast<std::int32_t>(runs[i]->drafts.size()) + 1});
  const std::int64_t passes = model_.passes();
  const LogitRows logits = model_.feed_rows(feeds);
  std::int64_t row = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i]->take(logits, row);
    runs[i]->answer.statistics.passes += model_.passes() - passes;
    row += feeds[i].rows;
  }
}

Answer Generator::finish(Run& run) const {
  Answer answer = std::move(run.answer);
  answer.tokens = run.written;
  answer.json = tokens_->text(run.written);
  answer.cut_short = run.cut_short;
  answer.statistics.new_tokens = static_cast<std::int32_t>(run.written.size());
  const Json json = parse_json(answer.json, "the answer");
  for (const AnswerField& field : run.grammar->schema().fields) {
    const Json& value = json.at(field.key);
    if (!field.is_choice()) {
      answer.text = value.get<std::string>();
      continue;
    }
    const std::string label = value.is_string() ? value.get<std::string>() : value.dump();
    answer.labels.push_back(static_cast<std::int32_t>(std::find(field.labels.begin(), field.labels.end(), label) - field.labels.begin()));
  }
  return answer;
}

Answer Generator::answer(std::span<const std::int32_t> prompt, const AnswerSchema& schema, const AnswerOptions& options) {
  const Request request{{prompt.begin(), prompt.end()}, schema, options};
  return std::move(answer_all({&request, 1})[0]);
}

std::vector<Answer> Generator::answer_all(std::span<const Request> requests, const std::function<void(std::size_t, const Answer&)>& done) {
  std::vector<Answer> answers(requests.size());
  struct Active {
    std::size_t request;
    std::unique_ptr<Run> run;
    Stopwatch watch;
  };
  std::vector<Active> active;
  for (std::size_t next = 0; next < requests.size() || !active.empty();) {
    while (next < requests.size() && active.size() < static_cast<std::size_t>(settings_.together)) {
      auto run = begin(requests[next].prompt, requests[next].schema, requests[next].options);
      active.push_back({next++, std::move(run), {}});
    }
    for (std::size_t i = 0; i < active.size();) {
      if (!active[i].run->done) {
        ++i;
        continue;
      }
      Answer& answer = answers[active[i].request];
      answer = finish(*active[i].run);
      answer.statistics.text_ms = active[i].watch.ms();
      if (done) done(active[i].request, answer);
      active.erase(active.begin() + static_cast<std::ptrdiff_t>(i));
    }
    std::vector<Run*> runs;
    for (const Active& one : active) runs.push_back(one.run.get());
    if (!runs.empty()) step(runs);
  }
  return answers;
}

Completion Generator::complete(std::span<const std::int32_t> prompt, const CompletionOptions& options) {
  check(options.sampler);
  if (prompt.empty()) throw Error(ExitCode::kUsage, "the prompt is empty; at least one token is wanted");
  if (options.max_new_tokens < 0) throw Error(ExitCode::kUsage, "max_new_tokens is {}; 0 or more is wanted", options.max_new_tokens);
  if (static_cast<std::int64_t>(prompt.size()) + options.max_new_tokens > source_->positions())
    throw Error(ExitCode::kTooLarge, "the prompt has {} tokens and the text may take {}, the model reads at most {}; shorten the prompt",
                prompt.size(), options.max_new_tokens, source_->positions());
  Run run(prompt, settings_.drafts);
  run.sampler = options.sampler;
  run.use_drafts = options.drafts && settings_.drafts.most > 0;
  run.max_new_tokens = options.max_new_tokens;
  run.stop_tokens = stop_tokens_;
  run.stop_tokens.insert(run.stop_tokens.end(), options.stop_tokens.begin(), options.stop_tokens.end());
  run.done = options.max_new_tokens == 0;
  if (!run.done) {
    const auto logits = read_prompt(run, prompt, {}, options.adapter_id, options.remember_prompt);
    const std::int32_t token = run.choose(logits, 0);
    run.stopped = run.done = std::find(run.stop_tokens.begin(), run.stop_tokens.end(), token) != run.stop_tokens.end();
    if (!run.stopped) run.write(token);
    run.propose();
  }
  const Stopwatch watch;
  Run* const one = &run;
  while (!run.done) step({&one, 1});

  Completion completion;
  completion.tokens = run.written;
  completion.text = tokens_->text(run.written);
  completion.stopped = run.stopped;
  completion.statistics = run.answer.statistics;
  completion.statistics.new_tokens = static_cast<std::int32_t>(run.written.size());
  completion.statistics.text_ms = watch.ms();
  return completion;
}

}  // namespace deskhand
