// A model's tokenizer and chat template, wherever the model keeps them: beside its weights (tokenizer.json) or inside the GGUF file.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "deskhand/model/gguf.h"
#include "deskhand/text/chat_template.h"
#include "deskhand/text/tokenizer.h"
#include "deskhand/text/tokenizer_json.h"

namespace deskhand {

struct LoadedTokenizer {
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat;  // none: the model's files carry no template, it is a plain language model
};

// A .gguf file, a folder with tokenizer.json, or a folder with one .gguf file. Throws Error(kNotFound) or Error(kBadInput); a template of
// no known family is Error(kBadInput) too.
LoadedTokenizer load_tokenizer(const std::filesystem::path& model);
LoadedTokenizer load_tokenizer(const Gguf& file);

// The same as tables, for files of the other kind; the chat template as the model's files have it, empty where there is none.
struct PortableTokenizer {
  TokenizerTables tables;
  std::string chat_template;
};
PortableTokenizer read_portable_tokenizer(const Gguf& file);
PortableTokenizer read_portable_tokenizer(const std::filesystem::path& folder);  // with tokenizer.json

}  // namespace deskhand
