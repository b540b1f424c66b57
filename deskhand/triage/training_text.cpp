#include "deskhand/triage/training_text.h"

#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/tickets/export.h"

namespace deskhand {
namespace {

std::int32_t end_of_answer(bool chats, const Tokenizer& tokenizer, const ChatTemplate* chat) {
  if (chats)
    for (const std::string& text : chat->stop_texts())
      if (const auto id = tokenizer.special_id(text)) return *id;
  if (tokenizer.eos()) return *tokenizer.eos();
  throw Error(ExitCode::kBadInput, "the model's tokenizer names no token that ends a text, so a model could not learn where to stop");
}

void append(std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

// Where a ticket has no such label, the answer's text names one all the same, and its tokens count nothing.
constexpr int kNoUrgency = 3;

bool has_urgency(const Ticket& ticket) {
  return ticket.urgency >= kMinUrgency && ticket.urgency <= kMaxUrgency;
}

// How much each token of a written answer counts; empty: 1 each. A token belongs to a label if any of its bytes does.
std::vector<float> weights_of(const Ticket& ticket, const std::string& answer, std::span<const std::int32_t> ids, double label_weight,
                              const Tokenizer& tokenizer) {
  if (label_weight == 1 && has_urgency(ticket) && !ticket.category.empty()) return {};
  const auto before = [&](std::size_t bytes) {
    const auto part = tokenizer.encode(answer.substr(0, bytes));
    const auto same = std::mismatch(part.begin(), part.end(), ids.begin(), ids.end());
    return std::pair{static_cast<std::size_t>(same.first - part.begin()), same.first == part.end()};
  };
  const auto key = [&](std::string_view name) { return answer.find(fmt::format("\"{}\": ", name)); };
  const auto value = [&](std::string_view name) { return key(name) + name.size() + std::string_view("\"\": ").size(); };
  const auto count = [&](std::vector<float>& weights, std::string_view name, std::string_view next, bool is_known) {
    const auto first = before(value(name)).first;
    const auto [whole, ends_there] = before(key(next) - std::string_view(", ").size());
    const float weight = is_known ? static_cast<float>(label_weight) : 0.0f;
    std::fill(weights.begin() + static_cast<std::ptrdiff_t>(first), weights.begin() + static_cast<std::ptrdiff_t>(whole + !ends_there),
              weight);
  };
  std::vector<float> weights(ids.size(), 1.0f);
  count(weights, kUrgencyKey, kCategoryKey, has_urgency(ticket));
  count(weights, kCategoryKey, kResolutionKey, !ticket.category.empty());
  return weights;
}

TrainingText triage_text(const Ticket& ticket, std::span<const Case> cases, const TrainingTextSettings& settings,
                         const Tokenizer& tokenizer, const ChatTemplate* chat) {
  const bool chats = settings.prompt.style == PromptStyle::kChat;
  if (chats && !chat) throw Error(ExitCode::kUsage, "this model has no chat template; set the prompt style to 'instruction'");
  const std::string answer =
      write_answer(has_urgency(ticket) ? ticket.urgency : kNoUrgency,
                   ticket.category.empty() ? settings.prompt.categories.front() : ticket.category, resolution_text(ticket));
  std::vector<std::int32_t> answer_ids = tokenizer.encode(answer);  // by itself, as generation forces and decodes it
  answer_ids.push_back(end_of_answer(chats, tokenizer, chat));

  PromptSettings prompt_settings = settings.prompt;
  prompt_settings.context_tokens = 0;  // a ticket that is too long is not refused: cut_examples takes its middle
  prompt_settings.max_prompt_tokens =
      std::max(1, std::min(prompt_settings.max_prompt_tokens, settings.max_tokens - static_cast<std::int32_t>(answer_ids.size())));
  Prompt prompt = write_prompt(problem_text(ticket), cases, prompt_settings, tokenizer, chat);

  TrainingText text{.text = prompt.text + answer, .cases_shown = prompt.cases_shown, .cases_shortened = prompt.cases_shortened};
  text.example.answer_begin = static_cast<std::int32_t>(prompt.ids.size());
  text.example.weights = weights_of(ticket, answer, answer_ids, settings.label_weight, tokenizer);
  text.example.ids = std::move(prompt.ids);
  append(text.example.ids, answer_ids);
  return text;
}

// One text, encoded as one, as the scripts did it. The answer begins at the first token that the prompt alone does not have.
TrainingText seed_text(const Ticket& ticket, const Tokenizer& tokenizer) {
  const std::string prompt = fmt::format("### Instruction:\n{}\n\n### Response:\n", training_instruction(ticket));
  TrainingText text{.text = prompt + training_output(ticket)};
  const auto prompt_ids = tokenizer.encode(prompt);
  auto& ids = text.example.ids;
  ids = tokenizer.encode(text.text);
  text.example.answer_begin =
      static_cast<std::int32_t>(std::mismatch(prompt_ids.begin(), prompt_ids.end(), ids.begin(), ids.end()).second - ids.begin());
  if (tokenizer.add_bos() && tokenizer.bos()) {
    ids.insert(ids.begin(), *tokenizer.bos());
    ++text.example.answer_begin;
  }
  ids.push_back(end_of_answer(false, tokenizer, nullptr));
  return text;
}

}  // namespace

std::string teaching_fault(const Ticket& ticket, const TrainingTextSettings& settings) {
  if (problem_text(ticket).empty()) return "no problem text";
  if (resolution_text(ticket).find_first_not_of(" \t\r\n") == std::string::npos) return "no resolution";
  if (!has_urgency(ticket) && ticket.category.empty()) return "neither urgency nor category";
  const auto& known = settings.prompt.categories;
  if (settings.format == TrainingFormat::kSeed) {
    if (!has_urgency(ticket)) return "no urgency";
    if (ticket.category.empty()) return "no category";
  } else if (known.empty()) {
    return "no category that any ticket of the desk has";
  } else if (!ticket.category.empty() && std::find(known.begin(), known.end(), ticket.category) == known.end()) {
    return fmt::format("the category '{}' is not one of the desk's", ticket.category);
  }
  return "";
}

Expected<TrainingText, std::string> training_text(const Ticket& ticket, std::span<const Case> cases, const TrainingTextSettings& settings,
                                                  const Tokenizer& tokenizer, const ChatTemplate* chat) {
  if (std::string fault = teaching_fault(ticket, settings); !fault.empty()) return Unexpected{std::move(fault)};
  TrainingText text =
      settings.format == TrainingFormat::kSeed ? seed_text(ticket, tokenizer) : triage_text(ticket, cases, settings, tokenizer, chat);
  text.example.answer_only = settings.loss_on == LossOn::kAnswer;
  return text;
}

}  // namespace deskhand
