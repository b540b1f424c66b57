// A model's tokenizer and chat template, wherever the model keeps them: beside its weights (tokenizer.json) or inside the GGUF file.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "deskhand/model/gguf.h"
#include "deskhand/text/chat_template.h"
#include "deskhand/text/tokenizer.h"

namespace deskhand {

struct LoadedTokenizer {
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat;  // none: the model's files carry no template, it is a plain language model
};

// A .gguf file, a folder with tokenizer.json, or a folder with one .gguf file. Throws Error(kNotFound) or Error(kBadInput); a template of
// no known family is Error(kBadInput) too.
LoadedTokenizer load_tokenizer(const std::filesystem::path& model);
LoadedTokenizer load_tokenizer(const Gguf& file);

}  // namespace deskhand
