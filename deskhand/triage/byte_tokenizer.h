// For this room's tests: a tokenizer whose tokens are the bytes, and ChatML to render with.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/text/chat_template.h"
#include "deskhand/text/tokenizer.h"

namespace deskhand {

// Every byte is a token; the two marks of ChatML and the two ends of a text are specials.
class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() : Tokenizer(vocabulary()) {}

 private:
  static Vocabulary vocabulary() {
    Vocabulary v;
    for (int b = 0; b < 256; ++b) v.bytes.emplace_back(1, static_cast<char>(b));
    v.is_special.assign(256, false);
    for (const char* text : {"<|im_start|>", "<|im_end|>", "<s>", "</s>"}) {
      v.specials.push_back({static_cast<std::int32_t>(v.bytes.size()), text});
      v.bytes.emplace_back(text);
      v.is_special.push_back(true);
    }
    v.bos = 258;
    v.eos = 259;
    v.add_bos = true;
    return v;
  }
  void encode_text(std::string_view text, bool, std::vector<std::int32_t>& ids) const override {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  }
};

inline ChatTemplate chatml() {
  return ChatTemplate::recognise(
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
      "", "<|im_end|>");
}

}  // namespace deskhand
