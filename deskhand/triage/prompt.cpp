#include "deskhand/triage/prompt.h"

#include <algorithm>
#include <optional>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/text/normalize.h"
#include "deskhand/triage/sentences.h"

namespace deskhand {
namespace {

// How far texts of cases are cut, in bytes; none: not at all. Tried in this order until the prompt fits; after the last, cases are dropped.
struct Cut {
  std::optional<std::size_t> resolution, problem;
};
constexpr std::array<Cut, 9> kCuts = {{{}, {1200, {}}, {700, {}}, {400, {}}, {250, {}}, {250, 800}, {250, 400}, {160, 250}, {120, 120}}};

std::string cut_to(std::string_view text, std::optional<std::size_t> bytes) {
  return bytes ? shorten(text, *bytes) : std::string(text);
}

std::string case_text(const Case& past, std::size_t number, const Cut& cut) {
  std::string text = fmt::format("Case {}\nProblem: {}\nResolution: {}\n", number, cut_to(past.problem, cut.problem),
                                 past.resolution.empty() ? "not recorded" : cut_to(past.resolution, cut.resolution));
  if (past.urgency != 0) text += fmt::format("{}: {}\n", kUrgencyKey, past.urgency);
  if (!past.category.empty()) text += fmt::format("{}: {}\n", kCategoryKey, past.category);
  return text + "\n";
}

std::string user_text(std::string_view query, std::span<const Case> cases, const Cut& cut) {
  std::string text = cases.empty() ? "" : "Past cases, the most similar first:\n\n";
  for (std::size_t i = 0; i < cases.size(); ++i) text += case_text(cases[i], i + 1, cut);
  text += fmt::format("New ticket\nProblem: {}\n\nAnswer the new ticket as JSON. \"{}\" tells what the desk does to solve it", query,
                      kResolutionKey);
  return text +
         (cases.empty() ? "." : ", in the words of the past case that fits best.");  // said last: small models forget the instruction
}

std::vector<TextPart> prompt_parts(std::string_view instruction, std::string user, const PromptSettings& settings,
                                   const ChatTemplate* chat) {
  if (settings.style == PromptStyle::kInstruction)
    return {{fmt::format("### Instruction:\n{}\n\n{}\n\n### Response:\n", instruction, user), false}};
  const std::vector<ChatMessage> messages = {{Role::kSystem, std::string(instruction)}, {Role::kUser, std::move(user)}};
  return chat->render(messages);
}

Prompt encode(const std::vector<TextPart>& parts, PromptStyle style, const Tokenizer& tokenizer) {
  Prompt prompt{.ids = tokenizer.encode(parts), .text = joined(parts)};
  if (style == PromptStyle::kInstruction && tokenizer.add_bos() && tokenizer.bos()) prompt.ids.insert(prompt.ids.begin(), *tokenizer.bos());
  return prompt;
}

std::int32_t count_shortened(std::span<const Case> cases, const Cut& cut) {
  return static_cast<std::int32_t>(std::count_if(cases.begin(), cases.end(), [&](const Case& past) {
    return past.resolution.size() > cut.resolution.value_or(past.resolution.size()) ||
           past.problem.size() > cut.problem.value_or(past.problem.size());
  }));
}

}  // namespace

std::string_view name_of(PromptStyle style) {
  return style == PromptStyle::kChat ? "chat" : "instruction";
}

PromptStyle prompt_style_named(std::string_view name) {
  for (const PromptStyle style : {PromptStyle::kChat, PromptStyle::kInstruction})
    if (name_of(style) == name) return style;
  throw Error(ExitCode::kUsage, "'{}' is no prompt style; choose chat or instruction", name);
}

std::string default_instruction(const PromptSettings& settings) {
  std::string text =
      "You triage tickets of a support desk. Past cases with their resolutions come first, then the new ticket. Answer with one JSON "
      "object of exactly three fields.\n";
  text += fmt::format("\"{}\": how urgent the new ticket is,", kUrgencyKey);
  for (int urgency = kMinUrgency; urgency <= kMaxUrgency; ++urgency)
    text += fmt::format(" {} = {}{}", urgency, settings.urgency_meanings[static_cast<std::size_t>(urgency - 1)],
                        urgency == kMaxUrgency ? ".\n" : ";");
  text += fmt::format("\"{}\": exactly one of:", kCategoryKey);
  for (std::size_t i = 0; i < settings.categories.size(); ++i)
    text += fmt::format(" {}{}", settings.categories[i], i + 1 == settings.categories.size() ? ".\n" : ";");
  text += fmt::format(
      "\"{}\": what to do, in under 100 words. If a past case has the same fault, reuse its resolution: the same cause, screens and "
      "settings, but "
      "never its order numbers, names or amounts. Give concrete steps. Do not repeat the problem, and do not invent screens or codes.",
      kResolutionKey);
  return text;
}

Prompt write_prompt(std::string_view query, std::span<const Case> cases, const PromptSettings& settings, const Tokenizer& tokenizer,
                    const ChatTemplate* chat) {
  if (settings.style == PromptStyle::kChat && !chat)
    throw Error(ExitCode::kUsage, "this model has no chat template; set the prompt style to 'instruction'");
  const std::string instruction = settings.instruction.empty() ? default_instruction(settings) : settings.instruction;
  const std::int32_t limit =
      settings.context_tokens > 0 ? std::min(settings.max_prompt_tokens, settings.context_tokens) : settings.max_prompt_tokens;
  const auto write = [&](std::span<const Case> shown, const Cut& cut) {
    Prompt prompt = encode(prompt_parts(instruction, user_text(query, shown, cut), settings, chat), settings.style, tokenizer);
    prompt.cases_shown = static_cast<std::int32_t>(shown.size());
    prompt.cases_shortened = count_shortened(shown, cut);
    return prompt;
  };
  for (std::size_t count = cases.size(); count > 0; --count) {
    const bool all = count == cases.size();
    for (const Cut& cut : std::span(kCuts).subspan(all ? 0 : kCuts.size() - 1)) {
      Prompt prompt = write(cases.first(count), cut);
      if (static_cast<std::int32_t>(prompt.ids.size()) <= limit) return prompt;
    }
  }
  Prompt alone = write({}, {});
  if (settings.context_tokens > 0 && static_cast<std::int32_t>(alone.ids.size()) > settings.context_tokens)
    throw Error(ExitCode::kTooLarge,
                "the ticket is too long for the model: {} tokens with the instruction and without any case, {} fit; shorten its text",
                alone.ids.size(), settings.context_tokens);
  return alone;
}

std::string write_answer(int urgency, std::string_view category, std::string_view resolution) {
  const std::string_view blanks = " \t\r\n";
  std::string text = repair_utf8(resolution);
  std::replace_if(
      text.begin(), text.end(), [&](char c) { return static_cast<unsigned char>(c) < 0x20 && blanks.find(c) == std::string_view::npos; },
      ' ');
  const auto first = text.find_first_not_of(blanks);
  if (urgency < kMinUrgency || urgency > kMaxUrgency || category.empty() || first == std::string::npos)
    throw Error(
        ExitCode::kBadInput,
        "an answer needs an urgency of 1 to 5, a category and a resolution; found urgency {}, category '{}' and {} bytes of resolution",
        urgency, category, resolution.size());
  const auto trimmed = text.substr(first, text.find_last_not_of(blanks) - first + 1);
  return fmt::format(R"({{"{}": {}, "{}": {}, "{}": {}}})", kUrgencyKey, urgency, kCategoryKey, write_json(std::string(category)),
                     kResolutionKey, write_json(trimmed));
}

}  // namespace deskhand
