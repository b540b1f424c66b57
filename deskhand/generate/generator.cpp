#include "deskhand/generate/generator.h"

#include <algorithm>
#include <chrono>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/generate/repetition_guard.h"

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
  bool want(std::int64_t row, Pick& pick);
  std::int32_t settle(const LogitRows& logits, const Pick& pick, std::int32_t token);
  std::int32_t choose(const LogitRows& logits, std::int64_t row);
  void propose();

  // A turn: logits behind the last written token and behind each draft; as many drafts are kept as are what would have been chosen.
  void begin_turn(std::int64_t first_row);
  bool ask(Pick& pick);  // the turn's next row; false: the text was closed, and with it the turn
  bool take(const LogitRows& logits, const Pick& pick, std::int32_t token);  // false: the turn is over
  void end_turn();
  struct Turn {
    std::vector<std::int32_t> guesses;
    std::int64_t first_row = 0;
    std::size_t before = 0, accepted = 0;
  } turn;
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

// What is to be picked behind the row. False if the free string was closed instead (close_at has then written the end).
bool Generator::Run::want(std::int64_t row, Pick& pick) {
  pick = {.row = row, .mask = nullptr, .banned = {}, .sampler = sampler, .step = static_cast<std::uint64_t>(written.size())};
  if (!grammar) return true;
  pick.mask = grammar->allowed(state, left());
  if (!grammar->is_text(state)) {
    pick.sampler = {};
    return true;
  }
  if (const auto keep = guard.repeats_from(); keep && close_at(*keep)) return false;
  pick.banned = guard.banned();
  return true;
}

// The token to write where `token` was picked; -1 if the free string was closed instead.
std::int32_t Generator::Run::settle(const LogitRows& logits, const Pick& pick, std::int32_t token) {
  const auto some = [](std::int32_t one) {
    DESKHAND_ASSERT(one >= 0, "a way on from every state");
    return one;
  };
  if (!grammar || !grammar->is_text(state)) return some(token);
  if (!pick.banned.empty() && (token < 0 || logits.share_not_banned(pick) < kOnlyRepeats)) {
    const auto repeat = guard.repeats_from(true);
    if (close_at(repeat ? *repeat : guard.last_sentence_end().value_or(guard.size()))) return -1;
  }
  if (token < 0) {
    Pick all = pick;
    all.banned.clear();
    return some(logits.pick(all));
  }

  JsonGrammar::State after = state;
  grammar->advance(after, token);
  if (!grammar->is_text(after)) {
    if (const auto keep = guard.repeats_from(true); keep && close_at(*keep)) return -1;
    // Closed only because the budget says so: rather after the last whole sentence, if that keeps half of the text.
    const auto unhurried = grammar->allowed(state);
    Pick without_budget = pick;
    without_budget.mask = unhurried;
    const bool own_will = unhurried == pick.mask || logits.pick(without_budget) == token;
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

// The next token, or -1 if the free string was closed instead.
std::int32_t Generator::Run::choose(const LogitRows& logits, std::int64_t row) {
  Pick pick;
  if (!want(row, pick)) return -1;
  return settle(logits, pick, logits.pick(pick));
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

void Generator::Run::begin_turn(std::int64_t first_row) {
  turn = {.guesses = std::move(drafts), .first_row = first_row, .before = written.size()};
  drafts.clear();
}

bool Generator::Run::ask(Pick& pick) {
  if (want(turn.first_row + static_cast<std::int64_t>(turn.accepted), pick)) return true;
  end_turn();
  return false;
}

bool Generator::Run::take(const LogitRows& logits, const Pick& pick, std::int32_t picked) {
  const std::int32_t token = settle(logits, pick, picked);
  const bool stops = token >= 0 && std::find(stop_tokens.begin(), stop_tokens.end(), token) != stop_tokens.end();
  if (stops) done = stopped = true;
  bool goes_on = false;
  if (token >= 0 && !stops) {
    write(token);
    const bool is_guessed = turn.accepted < turn.guesses.size() && token == turn.guesses[turn.accepted];
    turn.accepted += is_guessed;
    goes_on = is_guessed && !done;
  }
  if (!goes_on) end_turn();
  return goes_on;
}

void Generator::Run::end_turn() {
  lookup.judge(turn.guesses.size(), turn.accepted);
  answer.statistics.drafted_tokens += static_cast<std::int32_t>(turn.guesses.size());
  answer.statistics.accepted_tokens += static_cast<std::int32_t>(turn.accepted);
  // Guesses that were not kept leave the cache; where the text was cut, cut_to has done it.
  sequence.truncate(prompt_tokens + static_cast<std::int32_t>(std::min(fed(), turn.before + turn.accepted)));
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

// A prompt on its way into the cache, and what is fed behind it.
struct Generator::Reading {
  Run* run;
  std::span<const std::int32_t> prompt;
  std::vector<std::int32_t> lead;
  std::string key;  // that remembered prompts are kept under
  bool remember;
};

// What the first prompt and another begin with is read before them if it is not remembered yet, so that it is read once.
void Generator::read_beginning(std::span<const Reading> readings) {
  const Reading& first = readings.front();
  std::size_t common = 0;
  for (const Reading& other : readings.subspan(1))
    if (other.key == first.key)
      common = std::max(
          common,
          static_cast<std::size_t>(std::mismatch(first.prompt.begin(), first.prompt.end(), other.prompt.begin(), other.prompt.end()).first -
                                   first.prompt.begin()));
  const auto page = static_cast<std::size_t>(model_.cache().page_tokens());
  common = std::min(common, first.prompt.size() - 1) / page * page;
  KvCache::Sequence& sequence = first.run->sequence;
  const auto known = static_cast<std::size_t>(sequence.length());
  if (!first.remember || common <= known) return;
  const PagedModel::Feed feed{&sequence, first.prompt.subspan(known, common - known), 0};
  model_.feed(feed);
  model_.cache().remember(first.key, first.prompt.first(common), sequence);
}

LogitRows Generator::read_prompts(std::span<const Reading> readings) {
  const Stopwatch watch;
  const auto recall = [&](const Reading& reading) {
    reading.run->sequence = model_.cache().recall(reading.key, reading.prompt);
    reading.run->answer.statistics.prompt_tokens = reading.run->prompt_tokens;
    reading.run->answer.statistics.cached_tokens = reading.run->sequence.length();
  };
  recall(readings.front());
  if (readings.size() > 1) read_beginning(readings);
  for (const Reading& reading : readings.subspan(1)) recall(reading);
  std::vector<std::vector<std::int32_t>> tokens;
  std::vector<PagedModel::Feed> feeds;
  for (const Reading& reading : readings) {
    tokens.emplace_back(reading.prompt.begin() + reading.run->sequence.length(), reading.prompt.end());
    tokens.back().insert(tokens.back().end(), reading.lead.begin(), reading.lead.end());
  }
  for (std::size_t i = 0; i < readings.size(); ++i) feeds.push_back({&readings[i].run->sequence, tokens[i], 1});
  const LogitRows logits = model_.feed(feeds);
  for (const Reading& reading : readings) {
    if (reading.remember) model_.cache().remember(reading.key, reading.prompt, reading.run->sequence);
    reading.run->answer.statistics.prompt_ms = watch.ms();
  }
  return logits;
}

namespace {

void check_budget(const JsonGrammar& grammar, std::size_t lead, const JsonGrammar::State& at, std::int32_t max_new_tokens) {
  const std::int32_t least = static_cast<std::int32_t>(lead) + grammar.tokens_to_close(at);
  if (max_new_tokens < least)
    throw Error(ExitCode::kUsage, "max_new_tokens is {}, but the answer's keys and labels alone take {}; allow more", max_new_tokens,
                least);
}

bool asks_for_labels(const Generator::Request& request) {
  return request.options.distributions && leading_choices(request.schema) > 0;
}

}  // namespace

std::unique_ptr<Generator::Run> Generator::prepare(const Request& request) {
  const auto& [prompt, schema, options] = request;
  check(options.sampler);
  if (prompt.empty()) throw Error(ExitCode::kUsage, "the prompt is empty; at least one token is wanted");
  auto run = std::make_unique<Run>(prompt, settings_.drafts);
  run->grammar = grammar(schema);
  run->sampler = options.sampler;
  run->use_drafts = options.drafts && settings_.drafts.most > 0;
  run->max_new_tokens = options.max_new_tokens;
  check_budget(*run->grammar, 0, run->grammar->start(), options.max_new_tokens);
  if (static_cast<std::int64_t>(prompt.size()) + options.max_new_tokens > source_->positions())
    throw Error(ExitCode::kTooLarge, "the prompt has {} tokens and the answer may take {}, the model reads at most {}; shorten the prompt",
                prompt.size(), options.max_new_tokens, source_->positions());
  return run;
}

// Some answers together: their prompts in common passes, then all that is asked for their labels.
std::vector<std::unique_ptr<Generator::Run>> Generator::begin(std::span<const Request> requests) {
  const std::int64_t passes = model_.passes();
  std::vector<std::unique_ptr<Run>> runs;
  std::vector<Reading> readings;
  for (const Request& request : requests) {
    runs.push_back(prepare(request));
    Run& run = *runs.back();
    auto lead = asks_for_labels(request) ? tokens_->spell(run.grammar->stem_before(0, {})) : run.forced();
    readings.push_back({&run, request.prompt, std::move(lead), prompt_key(request.options.adapter_id), request.options.remember_prompt});
  }
  const LogitRows logits = read_prompts(readings);
  std::vector<ChoicesOf> asked;
  std::vector<std::size_t> places;  // of each of them among the requests
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Run& run = *runs[i];
    if (asks_for_labels(requests[i])) {
      asked.push_back({run.grammar.get(), &run.sequence, requests[i].options.labels, static_cast<std::int64_t>(i)});
      places.push_back(i);
      continue;
    }
    run.write_all(readings[i].lead);
    const std::int32_t token = run.choose(logits, static_cast<std::int64_t>(i));
    if (token >= 0) run.write(token);
    run.write_all(run.forced());
  }
  const Stopwatch watch;
  auto found = choice_distributions(model_, asked, logits);
  for (std::size_t k = 0; k < found.size(); ++k) {
    write_labels(*runs[places[k]], requests[places[k]], std::move(found[k]));
    runs[places[k]]->answer.statistics.labels_ms = watch.ms();
  }
  for (const auto& run : runs) run->answer.statistics.passes = model_.passes() - passes;
  return runs;
}

// The text up to the next free string or the end, under the labels that are decided.
void Generator::write_labels(Run& run, const Request& request, ChoiceSearchResult search) {
  const JsonGrammar& grammar = *run.grammar;
  const AnswerSchema& schema = request.schema;
  const std::int32_t choices = leading_choices(schema);
  run.answer.distributions = std::move(search.distributions);
  const ChoiceDistributions& known = run.answer.distributions;
  std::vector<std::int32_t> labels;
  if (request.options.decide) {
    labels = request.options.decide(known);
    bool fits = labels.size() == static_cast<std::size_t>(choices);
    for (std::size_t i = 0; fits && i < labels.size(); ++i)
      fits = labels[i] >= 0 && static_cast<std::size_t>(labels[i]) < schema.fields[i].labels.size();
    DESKHAND_ASSERT(fits, "decide names one label of each choice");
  } else {
    for (const LabelDistribution& field : known.fields)
      labels.push_back(static_cast<std::int32_t>(std::max_element(field.p.begin(), field.p.end()) - field.p.begin()));
  }

  // Token by token as some branch was fed it, so that its pages can be gone on from.
  const bool ends = static_cast<std::size_t>(choices) == schema.fields.size();
  const std::string whole = ends ? grammar.text_before(choices - 1, labels) + grammar.value_bytes(choices - 1, labels.back()) + "}"
                                 : grammar.text_before(choices, labels);
  const auto branch = std::find_if(search.branches.begin(), search.branches.end(), [&](const ChoiceBranch& one) {
    return std::equal(one.labels.begin(), one.labels.end(), labels.begin());
  });
  std::string fed = grammar.stem_before(0, {});
  std::vector<std::int32_t> lead = tokens_->spell(fed);
  for (std::int32_t field = 1; field < choices; ++field) {
    const std::string next = grammar.stem_before(field, labels);
    const auto tokens = tokens_->spell(std::string_view(next).substr(fed.size()));
    lead.insert(lead.end(), tokens.begin(), tokens.end());
    fed = next;
  }
  if (branch != search.branches.end()) run.sequence = std::move(branch->sequence);
  const auto rest = tokens_->spell(std::string_view(whole).substr(fed.size()));
  lead.insert(lead.end(), rest.begin(), rest.end());
  JsonGrammar::State at = grammar.start();
  grammar.advance(at, whole);
  check_budget(grammar, lead.size(), at, request.options.max_new_tokens);
  run.write_all(lead);
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
  const LogitRows logits = model_.feed(feeds);
  std::int64_t row = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i]->begin_turn(row);
    runs[i]->answer.statistics.passes += model_.passes() - passes;
    row += feeds[i].rows;
  }
  // The runs' rows one after the other, all runs at a time: what is picked behind a draft depends on it.
  std::vector<Run*> open(runs.begin(), runs.end());
  while (!open.empty()) {
    std::vector<Pick> picks;
    std::vector<Run*> asking;
    for (Run* const run : open) {
      Pick pick;
      if (!run->ask(pick)) continue;
      picks.push_back(std::move(pick));
      asking.push_back(run);
    }
    const auto tokens = logits.pick(picks);
    open.clear();
    for (std::size_t i = 0; i < asking.size(); ++i)
      if (asking[i]->take(logits, picks[i], tokens[i])) open.push_back(asking[i]);
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
  std::size_t room = static_cast<std::size_t>(settings_.together);  // fewer where the cache does not hold as many
  // Several are begun at a time, since their labels are asked for in common passes.
  constexpr std::size_t kParts = 4;
  for (std::size_t next = 0; next < requests.size() || !active.empty();) {
    const std::size_t free = room - std::min(room, active.size());
    for (std::size_t count = std::min(free, requests.size() - next); count > 0 && (active.empty() || kParts * free >= room);) {
      try {
        for (auto& run : begin(requests.subspan(next, count))) active.push_back({next++, std::move(run), {}});
        break;
      } catch (const Error& error) {
        if (error.code() != ExitCode::kTooLarge || (count == 1 && active.empty())) throw;
        count /= 2;
        room = std::max<std::size_t>(1, active.size() + count);
      }
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
    const Reading reading{&run, prompt, {}, prompt_key(options.adapter_id), options.remember_prompt};
    const LogitRows logits = read_prompts({&reading, 1});
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
