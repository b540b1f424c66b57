#include "deskhand/app/tokenizer_files.h"

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/generate/load_tokenizer.h"

namespace deskhand {

namespace fs = std::filesystem;

std::string write_tokenizer_files(const Decoder& base, const fs::path& model, const fs::path& folder) {
  if (const Gguf* file = base.gguf()) {
    std::string tables, config;
    try {
      const PortableTokenizer tokenizer = read_portable_tokenizer(*file);
      tables = write_tokenizer_json(tokenizer.tables);
      config = write_tokenizer_config(tokenizer.tables, tokenizer.chat_template);
    } catch (const Error& error) {
      return fmt::format("no tokenizer was written: {}", error.what());
    }
    write_file_atomically(folder / "tokenizer.json", tables);
    write_file_atomically(folder / "tokenizer_config.json", config);
    return "";
  }
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
                           "merges.txt", "tokenizer.model", "chat_template.jinja", "generation_config.json"})
    if (fs::exists(model / name)) write_file_atomically(folder / name, read_text_file(model / name, std::size_t{256} << 20));
  return fs::exists(model / "tokenizer.json")
             ? ""
             : fmt::format("no tokenizer was written: {} has no tokenizer.json to stand beside the weights", model.string());
}

}  // namespace deskhand
