// The text a model reads: what to answer, past cases, the new ticket. Training writes its texts with the same functions, so that a model is
// asked as it was taught. A query is never cut: cases are shortened first, then dropped. No text of a ticket is taken for a special token.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/retrieve/case_store.h"
#include "deskhand/text/chat_template.h"
#include "deskhand/text/tokenizer.h"
#include "deskhand/tickets/ticket.h"

namespace deskhand {

// The answer's fields, in the order of writing.
inline constexpr std::string_view kUrgencyKey = "Urgency Code", kCategoryKey = "Category", kResolutionKey = "Resolution";

enum class PromptStyle {
  kChat,        // the model's own chat template: instruction as the system's turn, cases and ticket as the user's
  kInstruction  // "### Instruction:\n{}\n\n### Response:\n", plain text: the seed's form, and for models without a chat template
};
std::string_view name_of(PromptStyle style);            // "chat", "instruction"
PromptStyle prompt_style_named(std::string_view name);  // throws Error(kUsage) with the names there are

struct PromptSettings {
  PromptStyle style = PromptStyle::kChat;
  std::int32_t max_prompt_tokens = 2048;  // cases are shortened to fit; a longer query stands alone
  std::int32_t context_tokens = 0;        // positions the model has, less those kept for the answer; 0: not known, not checked
  std::vector<std::string> categories;    // the desk's labels
  std::array<std::string, kMaxUrgency> urgency_meanings = {"the business stands still", "one process stopped, no way round",
                                                           "a fault with a way round, or one user hindered", "minor, can wait",
                                                           "a question or a wish"};
  std::string instruction;  // empty: default_instruction
};

// What to answer, from the meanings and labels of the settings.
std::string default_instruction(const PromptSettings& settings);

struct Prompt {
  std::vector<std::int32_t> ids;  // (tokens), the beginning-of-text token included where the model wants one
  std::string text;               // the same for people
  std::int32_t cases_shown = 0;
  std::int32_t cases_shortened = 0;  // of those shown
};

// cases: best first; those dropped are the last. chat may be null for PromptStyle::kInstruction alone. Throws Error(kTooLarge) with the
// counts if the ticket without any case is longer than context_tokens, Error(kUsage) for a style that needs the chat template there is none
// of.
Prompt write_prompt(std::string_view query, std::span<const Case> cases, const PromptSettings& settings, const Tokenizer& tokenizer,
                    const ChatTemplate* chat);

// {"Urgency Code": 3, "Category": "Sales Orders", "Resolution": "..."} as the answer's grammar spells it. In training its tokens are
// encoded by themselves behind the prompt's, as generation does it, then the end of turn. White space is trimmed off the resolution,
// control characters become spaces: the grammar has none. Throws Error(kBadInput) unless the urgency is 1..5 and neither text is empty.
std::string write_answer(int urgency, std::string_view category, std::string_view resolution);

}  // namespace deskhand
