#include "deskhand/text/chat_template.h"

#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/text/normalize.h"

namespace deskhand {
namespace {

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Jinja's trim, which is Python's strip: white space and the four separators U+001C .. U+001F.
std::string trimmed(std::string_view text) {
  std::size_t begin = text.size(), end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t here = at;
    const char32_t character = next_character(text, at);
    if (is_white_space(character) || (character >= 0x1C && character <= 0x1F)) continue;
    begin = std::min(begin, here);
    end = at;
  }
  return begin < end ? std::string(text.substr(begin, end - begin)) : std::string();
}

// A Jinja string's escapes.
std::string unescaped(std::string_view literal) {
  std::string out;
  for (std::size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 == literal.size()) {
      out += literal[i];
      continue;
    }
    const char c = literal[++i];
    if (c == 'n')
      out += '\n';
    else if (c == 't')
      out += '\t';
    else if (c == 'r')
      out += '\r';
    else if (c == '\\' || c == '\'' || c == '"')
      out += c;
    else
      out.append({'\\', c});
  }
  return out;
}

// The string literal around the first `core` in it, without its quotes; empty if there is none.
std::string literal_around(std::string_view jinja, std::string_view core, std::size_t from = 0) {
  for (std::size_t at = jinja.find(core, from); at != std::string_view::npos; at = jinja.find(core, at + 1)) {
    const std::size_t before = jinja.find_last_of("'\"", at);
    if (before == std::string_view::npos) continue;
    const std::size_t behind = jinja.find(jinja[before], at);
    if (behind == std::string_view::npos) continue;
    return unescaped(jinja.substr(before + 1, behind - before - 1));
  }
  return "";
}

std::string_view name_of(Role role) {
  switch (role) {
    case Role::kSystem:
      return "system";
    case Role::kUser:
      return "user";
    case Role::kAssistant:
      return "assistant";
  }
  return "user";
}

// Neighbours of one kind become one part.
class Parts {
 public:
  void ours(std::string_view text) { add(text, true); }
  void theirs(std::string_view text) { add(text, false); }
  std::vector<TextPart> take() { return std::move(parts_); }

 private:
  void add(std::string_view text, bool ours) {
    if (text.empty()) return;
    if (parts_.empty() || parts_.back().ours != ours) parts_.push_back({"", ours});
    parts_.back().text += text;
  }
  std::vector<TextPart> parts_;
};

}  // namespace

ChatTemplate ChatTemplate::recognise(std::string_view jinja, std::string_view bos_text, std::string_view eos_text) {
  ChatTemplate found;
  found.bos_ = bos_text;
  found.eos_ = eos_text;
  const auto unknown = [] {
    return Error(ExitCode::kBadInput,
                 "the model's chat template is of no known family; Llama 3, Qwen2 and Qwen2.5, SmolLM2 and Mistral are known, so take an "
                 "instruct model of "
                 "one of these");
  };
  // Reasoning models rewrite earlier answers; their templates look like a known family's and are not.
  if (has(jinja, "<think>") || has(jinja, "reasoning_content")) throw unknown();

  if (has(jinja, "<|start_header_id|>") && has(jinja, "<|end_header_id|>") && has(jinja, "<|eot_id|>")) {
    if (!has(jinja, "trim")) throw unknown();
    const bool dated = has(jinja, "Cutting Knowledge Date: December 2023");
    if (!dated && (has(jinja, "system_message") || has(jinja, "Today Date"))) throw unknown();
    found.family_ = dated ? Family::kLlama3Dated : Family::kLlama3;
    found.stop_texts_ = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"};
    return found;
  }
  if (has(jinja, "<|im_start|>") && has(jinja, "<|im_end|>")) {
    if (has(jinja, "(loop.last and") || has(jinja, "bos_token") || has(jinja, "eos_token") || has(jinja, "|trim") || has(jinja, "| trim") ||
        has(jinja, "strip(") || has(jinja, "<|im_sep|>")) {
      throw unknown();
    }
    found.family_ = Family::kChatMl;
    found.stop_texts_ = {"<|im_end|>", "<|endoftext|>"};
    // '<|im_start|>system\nYou are ...<|im_end|>\n': the system turn that stands in the template itself.
    for (const std::string_view opening : {std::string_view("<|im_start|>system\\n"), std::string_view("<|im_start|>system\n")}) {
      for (std::size_t at = jinja.find(opening); at != std::string_view::npos; at = jinja.find(opening, at + 1)) {
        const std::size_t begin = at + opening.size(), end = jinja.find("<|im_end|>", begin), quote = jinja.find_first_of("'\"{", begin);
        if (end == std::string_view::npos || at == 0 || quote < end) continue;
        found.default_system_ = unescaped(jinja.substr(begin, end - begin));
        found.adds_default_system_ = true;
      }
    }
    return found;
  }
  if (has(jinja, "[INST]") && has(jinja, "[/INST]")) {
    if (has(jinja, "<<SYS>>") || has(jinja, "[SYSTEM_PROMPT]")) throw unknown();
    found.family_ = Family::kMistral;
    found.stop_texts_ = {"</s>"};
    Mistral& rules = found.mistral_;
    const std::size_t system_at = jinja.find("is defined %}", jinja.find("system_message is defined"));
    rules.knows_system = has(jinja, "system_message is defined");
    rules.system_in_last = has(jinja, "loop.last and system_message is defined");
    if (has(jinja, "system_message") && !rules.knows_system) throw unknown();
    if (rules.knows_system && !rules.system_in_last && !has(jinja, "loop.first and system_message is defined")) throw unknown();
    rules.before_user = literal_around(jinja, "[INST]", rules.knows_system ? system_at : 0);
    rules.after_user = literal_around(jinja, "[/INST]");
    const std::size_t end = jinja.rfind("eos_token"), begin = jinja.rfind("assistant", end);
    // The answer's expression: from the last test for an assistant's turn that has an eos_token behind it.
    std::size_t expression = std::string_view::npos;
    for (std::size_t at = jinja.find("== \"assistant\" %}"); at != std::string_view::npos; at = jinja.find("== \"assistant\" %}", at + 1))
      expression = at;
    for (std::size_t at = jinja.find("== 'assistant' %}"); at != std::string_view::npos; at = jinja.find("== 'assistant' %}", at + 1))
      expression = at;
    if (expression == std::string_view::npos || begin == std::string_view::npos) throw unknown();
    const std::size_t open = jinja.find("{{", expression), close = jinja.find("}}", expression);
    if (open == std::string_view::npos || close == std::string_view::npos || open > close) throw unknown();
    const std::string_view answer = jinja.substr(open, close - open);
    const std::size_t content = answer.find("message["), eos = answer.find("eos_token");
    if (content == std::string_view::npos || eos == std::string_view::npos || eos < content) throw unknown();
    rules.before_answer = has(answer.substr(0, content), "\" \"") || has(answer.substr(0, content), "' '") ? " " : "";
    rules.trim_answer = has(answer, "|trim") || has(answer, "| trim");
    rules.after_answer = has(answer.substr(eos), "' '") || has(answer.substr(eos), "\" \"") ? " " : "";
    if (rules.before_user.size() > 8 || rules.after_user.size() > 8 || rules.before_user.empty() || rules.after_user.empty())
      throw unknown();
    return found;
  }
  throw unknown();
}

std::vector<TextPart> ChatTemplate::render(std::span<const ChatMessage> messages, const RenderOptions& options) const {
  if (messages.empty()) throw Error(ExitCode::kBadInput, "a conversation without messages; at least the user's text is wanted");
  Parts parts;
  const bool opens_with_system = messages.front().role == Role::kSystem;

  if (family_ == Family::kChatMl) {
    if (!opens_with_system && adds_default_system_) parts.ours("<|im_start|>system\n" + default_system_ + "<|im_end|>\n");
    for (const ChatMessage& message : messages) {
      parts.ours("<|im_start|>" + std::string(name_of(message.role)) + "\n");
      parts.theirs(message.content);
      parts.ours("<|im_end|>\n");
    }
    if (options.add_generation_prompt) parts.ours("<|im_start|>assistant\n");
    return parts.take();
  }

  if (family_ == Family::kLlama3 || family_ == Family::kLlama3Dated) {
    const auto open = [&](std::string_view role) { parts.ours("<|start_header_id|>" + std::string(role) + "<|end_header_id|>\n\n"); };
    parts.ours(bos_);
    if (family_ == Family::kLlama3Dated) {
      open("system");
      parts.ours("Cutting Knowledge Date: December 2023\nToday Date: " + options.date_string + "\n\n");
      if (opens_with_system) {
        parts.theirs(trimmed(messages.front().content));
        messages = messages.subspan(1);
      }
      parts.ours("<|eot_id|>");
    }
    for (const ChatMessage& message : messages) {
      open(name_of(message.role));
      parts.theirs(trimmed(message.content));
      parts.ours("<|eot_id|>");
    }
    if (options.add_generation_prompt) open("assistant");
    return parts.take();
  }

  std::string_view system;
  if (opens_with_system) {
    system = messages.front().content;
    messages = messages.subspan(1);
  }
  parts.ours(bos_);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if ((message.role == Role::kUser) != (i % 2 == 0) || message.role == Role::kSystem) {
      throw Error(ExitCode::kBadInput,
                  "message {} is the {}'s; Mistral's turns go user, assistant, user, ... after one system text at most",
                  i + 1 + (opens_with_system ? 1 : 0), name_of(message.role));
    }
    if (message.role == Role::kUser) {
      parts.ours(mistral_.before_user);
      if (opens_with_system && (mistral_.system_in_last ? i + 1 == messages.size() : i == 0)) {
        parts.theirs(system);
        parts.ours("\n\n");
      }
      parts.theirs(message.content);
      parts.ours(mistral_.after_user);
    } else {
      parts.ours(mistral_.before_answer);
      parts.theirs(mistral_.trim_answer ? trimmed(message.content) : message.content);
      parts.ours(eos_ + mistral_.after_answer);
    }
  }
  return parts.take();
}

std::string joined(std::span<const TextPart> parts) {
  std::string text;
  for (const TextPart& part : parts) text += part.text;
  return text;
}

}  // namespace deskhand
