// Answers from a decoder. A ticket's prompt is read once (what an earlier prompt began with is taken from the cache), the labels'
// probabilities are asked for, someone decides, and the resolution is written under the labels that were decided:
//   prompt pass -> choice_distributions -> decide -> forced tokens in one pass -> free text, drafts verified in one pass each -> JSON
// Several answers are begun and written together: each step feeds all of them. One thread at a time; the backend's pool works inside.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "deskhand/generate/json_grammar.h"
#include "deskhand/generate/label_probability.h"
#include "deskhand/generate/paged_model.h"
#include "deskhand/generate/prompt_lookup.h"
#include "deskhand/generate/sampler.h"
#include "deskhand/text/tokenizer.h"

namespace deskhand {

struct GeneratorSettings {
  KvCacheSettings cache;
  DecoderLimits limits;  // tokens of a pass, tokens of the longest text
  DraftSettings drafts;
  std::string model_id = "model";  // remembered prompts are kept under it and the adapter's id
  std::int32_t together = 8;       // answers written at once by answer_all
};

// A label (index) for each choice at the answer's beginning.
using Decide = std::function<std::vector<std::int32_t>(const ChoiceDistributions&)>;

struct AnswerOptions {
  std::int32_t max_new_tokens = 200;  // of the whole object
  SamplerSettings sampler;            // of the free text
  bool distributions = true;          // false: labels are written as the model writes them, nothing is summed
  Decide decide;                      // none: each field's likeliest label
  LabelSearch labels;
  bool drafts = true;
  bool remember_prompt = true;
  std::string adapter_id;
};

struct AnswerStatistics {
  std::int32_t prompt_tokens = 0, cached_tokens = 0, new_tokens = 0;
  std::int32_t drafted_tokens = 0, accepted_tokens = 0;
  std::int64_t passes = 0;                           // of the model, while this answer was worked on
  double prompt_ms = 0, labels_ms = 0, text_ms = 0;  // text_ms of answers written together is the time of all
};

struct Answer {
  std::string json;                   // valid, always
  std::vector<std::int32_t> tokens;   // that spell it
  std::vector<std::int32_t> labels;   // of each choice, in the schema's order
  std::string text;                   // the last free string, unescaped
  ChoiceDistributions distributions;  // empty without AnswerOptions::distributions
  bool cut_short = false;             // the budget ended it, or it began to repeat itself
  AnswerStatistics statistics;
};

struct CompletionOptions {
  std::int32_t max_new_tokens = 200;
  SamplerSettings sampler;
  bool drafts = true;
  bool remember_prompt = true;
  std::string adapter_id;
  std::vector<std::int32_t> stop_tokens;  // besides the model's own
};

struct Completion {
  std::vector<std::int32_t> tokens;  // without the one that ended it
  std::string text;
  bool stopped = false;  // by a stop token; false: max_new_tokens
  AnswerStatistics statistics;
};

class Generator {
 public:
  // Decoder and tokenizer must outlive it.
  Generator(const Decoder& decoder, const Tokenizer& tokenizer, const Backend& on, GeneratorSettings settings = {});
  Generator(std::unique_ptr<LogitsSource> source, std::shared_ptr<const TokenTrie> tokens, std::vector<std::int32_t> stop_tokens,
            GeneratorSettings settings = {});
  ~Generator();

  // The prompt ends where the object begins. Throws Error(kUsage) on a schema or options that cannot be followed, Error(kTooLarge) if
  // prompt and answer do not fit the model or the cache, Error(kInterrupted).
  Answer answer(std::span<const std::int32_t> prompt, const AnswerSchema& schema, const AnswerOptions& options = {});

  struct Request {
    std::vector<std::int32_t> prompt;
    AnswerSchema schema;
    AnswerOptions options;
  };
  // Each as answer() would give it, several written at once: when one is done the next prompt is read. `done` is called as each is
  // finished.
  std::vector<Answer> answer_all(std::span<const Request> requests, const std::function<void(std::size_t, const Answer&)>& done = nullptr);

  Completion complete(std::span<const std::int32_t> prompt, const CompletionOptions& options = {});

  const TokenTrie& tokens() const noexcept { return *tokens_; }
  PagedModel& model() noexcept { return model_; }

 private:
  struct Run;
  struct Reading;

  std::shared_ptr<const JsonGrammar> grammar(const AnswerSchema& schema);
  std::string prompt_key(const std::string& adapter_id) const { return settings_.model_id + '\n' + adapter_id; }
  void read_beginning(std::span<const Reading> readings);
  LogitRows read_prompts(std::span<const Reading> readings);  // feeds them with their leads; a row each, behind its lead
  std::unique_ptr<Run> prepare(const Request& request);
  std::vector<std::unique_ptr<Run>> begin(std::span<const Request> requests);
  void write_labels(Run& run, const Request& request, ChoiceSearchResult search);
  void step(std::span<Run* const> runs);
  Answer finish(Run& run) const;

  std::unique_ptr<LogitsSource> source_;
  std::shared_ptr<const TokenTrie> tokens_;
  std::vector<std::int32_t> stop_tokens_;
  GeneratorSettings settings_;
  PagedModel model_;
  std::list<std::pair<std::string, std::shared_ptr<const JsonGrammar>>> grammars_;  // by schema, the latest used first
};

// The vocabulary of a tokenizer as a tree; the tokenizer must outlive it.
std::shared_ptr<const TokenTrie> token_trie(const Tokenizer& tokenizer);

}  // namespace deskhand
