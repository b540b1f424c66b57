// Conversations as the instruct models were trained to read them. The families' layouts are written out here instead of running the model's
// Jinja program: a template is recognised by what it contains, and one that is not known is refused rather than guessed.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/text/tokenizer.h"

namespace deskhand {

enum class Role { kSystem, kUser, kAssistant };

struct ChatMessage {
  Role role = Role::kUser;
  std::string content;
};

struct RenderOptions {
  bool add_generation_prompt = true;        // ends where the assistant's answer begins
  std::string date_string = "26 Jul 2024";  // Llama 3.1 and later write it into the system turn; this is their templates' own default
};

class ChatTemplate {
 public:
  enum class Family {
    kChatMl,       // Qwen2, Qwen2.5, SmolLM2: <|im_start|>role ... <|im_end|>
    kLlama3,       // Llama 3: headers, text without white space at its ends
    kLlama3Dated,  // Llama 3.1, 3.2, 3.3: the system turn is always there and says the date
    kMistral       // [INST] ... [/INST]
  };

  // Recognises the family in a Jinja template: tokenizer_config.json's chat_template or GGUF's tokenizer.chat_template. bos and eos are the
  // texts of those tokens, which some families write out. Throws Error(kBadInput) for a template of no known family.
  static ChatTemplate recognise(std::string_view jinja, std::string_view bos_text, std::string_view eos_text);

  // Control text is ours, contents are not. Joined, the parts equal transformers' apply_chat_template. Where a template has no place for a
  // system text (early Mistral), it opens the first user's turn. Throws Error(kBadInput) for turns that the family's template refuses.
  std::vector<TextPart> render(std::span<const ChatMessage> messages, const RenderOptions& options = {}) const;

  Family family() const { return family_; }
  // What ends an answer: generation stops at any of these tokens.
  const std::vector<std::string>& stop_texts() const { return stop_texts_; }
  const std::string& default_system() const { return default_system_; }  // ChatML: the system text where the messages bring none

 private:
  struct Mistral {
    std::string before_user, after_user, before_answer, after_answer;
    bool trim_answer = false, system_in_last = false, knows_system = false;
  };

  Family family_ = Family::kChatMl;
  std::string bos_, eos_, default_system_;
  bool adds_default_system_ = false;
  std::vector<std::string> stop_texts_;
  Mistral mistral_;
};

std::string joined(std::span<const TextPart> parts);

}  // namespace deskhand
