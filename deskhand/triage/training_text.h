// Closed tickets as texts to learn from, made by the very functions that ask a model (prompt.h): a model is taught as it will be asked. The
// thesis project's plain form is the other choice.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "deskhand/base/expected.h"
#include "deskhand/retrieve/case_store.h"
#include "deskhand/text/chat_template.h"
#include "deskhand/text/tokenizer.h"
#include "deskhand/tickets/ticket.h"
#include "deskhand/train/example.h"
#include "deskhand/train/recipe.h"
#include "deskhand/triage/prompt.h"

namespace deskhand {

struct TrainingTextSettings {
  TrainingFormat format = TrainingFormat::kTriage;
  LossOn loss_on = LossOn::kAnswer;
  double label_weight = 1;         // kTriage: of the tokens of urgency and category, in loss and gradients
  std::int32_t max_tokens = 1024;  // of prompt and answer: cases are shortened, then dropped, until both fit; nothing else is cut here
  PromptSettings prompt;           // kTriage: as triage will ask; what max_tokens leaves beside the answer limits it further
};

struct TrainingText {
  Example example;
  std::string text;  // prompt and answer for people
  std::int32_t cases_shown = 0, cases_shortened = 0;
};

// Why a ticket cannot teach: no problem, no resolution, no label, a category that is not among the prompt's. Empty: it can. With kSeed both
// labels are wanted; with kTriage one that is missing is not learnt.
std::string teaching_fault(const Ticket& ticket, const TrainingTextSettings& settings);

// cases: best first, none of them the ticket's own or a near copy of it; kSeed shows none. chat may be null with kSeed or
// PromptStyle::kInstruction. The error is teaching_fault's. Throws Error(kUsage) where the prompt's style needs a chat template that there is
// none of.
Expected<TrainingText, std::string> training_text(const Ticket& ticket, std::span<const Case> cases, const TrainingTextSettings& settings,
                                                  const Tokenizer& tokenizer, const ChatTemplate* chat);

}  // namespace deskhand
