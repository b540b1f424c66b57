// The product's own decoder as an AnswerModel: prompts are written, answered together by the Generator under the answer's grammar.
#pragma once
#include <string>

#include "deskhand/generate/generator.h"
#include "deskhand/triage/answer_model.h"
#include "deskhand/triage/prompt.h"

namespace deskhand {

struct GeneratorModelSettings {
  PromptSettings prompt;              // its context_tokens is set from the generator's positions and max_new_tokens
  std::int32_t max_new_tokens = 220;  // of the whole object: about 100 words and 30 tokens of keys and labels
  std::int32_t max_resolution_bytes = 1600;
  SamplerSettings sampler;  // of the resolution; greedy unless told otherwise
  std::string adapter_id;
};

class GeneratorModel final : public AnswerModel {
 public:
  // Borrows all. chat may be null with PromptStyle::kInstruction. Throws Error(kUsage) without categories.
  GeneratorModel(Generator& generator, const Tokenizer& tokenizer, const ChatTemplate* chat, GeneratorModelSettings settings);
  std::vector<Expected<ModelAnswer, std::string>> answer(std::span<const Question> questions) override;

  // The answer's schema: urgency, category and, unless labels_only, the resolution.
  AnswerSchema schema(bool labels_only) const;

 private:
  Generator::Request request(const Question& question, Prompt prompt) const;

  Generator& generator_;
  const Tokenizer& tokenizer_;
  const ChatTemplate* chat_;
  GeneratorModelSettings settings_;
};

}  // namespace deskhand
