#include "deskhand/generate/load_tokenizer.h"

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/text/tokenizer_json.h"

namespace deskhand {
namespace {

std::string special_text(const Tokenizer& tokenizer, std::optional<std::int32_t> id) {
  return id ? std::string(tokenizer.token_bytes(*id)) : std::string();
}

ChatTemplate recognise(std::string_view jinja, const Tokenizer& tokenizer) {
  return ChatTemplate::recognise(jinja, special_text(tokenizer, tokenizer.bos()), special_text(tokenizer, tokenizer.eos()));
}

std::optional<std::int32_t> token_id(const Gguf& file, std::string_view key) {
  const auto id = file.integer(key);
  if (id && (*id < 0 || *id > INT32_MAX))
    throw Error(ExitCode::kBadInput, "{}: {} is {}, not a token", file.file().path().string(), key, *id);
  return id ? std::optional(static_cast<std::int32_t>(*id)) : std::nullopt;
}

// The template is text, or a list of named ones of which "default" counts; newer models keep it in a file of its own.
std::optional<std::string> jinja_beside(const std::filesystem::path& folder) {
  if (const auto path = folder / "chat_template.jinja"; std::filesystem::exists(path)) return read_text_file(path, 1 << 20);
  const auto path = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json config = parse_json(read_text_file(path, 1 << 26), path.string());
  if (!config.is_object() || !config.contains("chat_template")) return std::nullopt;
  const Json& chat = config.at("chat_template");
  if (chat.is_string()) return chat.get<std::string>();
  if (chat.is_array())
    for (const Json& one : chat)
      if (one.is_object() && one.value("name", "") == "default" && one.contains("template") && one.at("template").is_string())
        return one.at("template").get<std::string>();
  return std::nullopt;
}

}  // namespace

PortableTokenizer read_portable_tokenizer(const Gguf& file) {
  const auto text = [&](std::string_view key) { return std::string(file.text(key).value_or("")); };
  TokenizerTables tables;
  tables.where = file.file().path().string();
  tables.model = text("tokenizer.ggml.model");
  tables.pre = text("tokenizer.ggml.pre");
  for (const auto token : file.texts("tokenizer.ggml.tokens")) tables.tokens.emplace_back(token);
  for (const auto merge : file.texts("tokenizer.ggml.merges")) tables.merges.emplace_back(merge);
  for (const auto type : file.integers("tokenizer.ggml.token_type")) tables.token_types.push_back(static_cast<std::int32_t>(type));
  for (const auto score : file.numbers("tokenizer.ggml.scores")) tables.scores.push_back(static_cast<float>(score));
  tables.bos = token_id(file, "tokenizer.ggml.bos_token_id");
  tables.eos = token_id(file, "tokenizer.ggml.eos_token_id");
  tables.unk = token_id(file, "tokenizer.ggml.unknown_token_id");
  tables.pad = token_id(file, "tokenizer.ggml.padding_token_id");
  tables.add_bos = file.flag("tokenizer.ggml.add_bos_token");
  tables.add_eos = file.flag("tokenizer.ggml.add_eos_token");
  tables.add_space_prefix = file.flag("tokenizer.ggml.add_space_prefix");
  return {std::move(tables), text("tokenizer.chat_template")};
}

PortableTokenizer read_portable_tokenizer(const std::filesystem::path& folder) {
  return {read_tokenizer_tables(folder / "tokenizer.json"), jinja_beside(folder).value_or("")};
}

LoadedTokenizer load_tokenizer(const Gguf& file) {
  const PortableTokenizer portable = read_portable_tokenizer(file);
  LoadedTokenizer loaded{make_tokenizer(portable.tables), std::nullopt};
  if (!portable.chat_template.empty()) loaded.chat = recognise(portable.chat_template, *loaded.tokenizer);
  return loaded;
}

LoadedTokenizer load_tokenizer(const std::filesystem::path& model) {
  namespace fs = std::filesystem;
  if (!fs::exists(model))
    throw Error(ExitCode::kNotFound, "{}: no such model; give a folder with tokenizer.json or a .gguf file", model.string());
  if (!fs::is_directory(model)) return load_tokenizer(Gguf::open(model));
  if (const auto path = model / "tokenizer.json"; fs::exists(path)) {
    LoadedTokenizer loaded{load_tokenizer_json(path), std::nullopt};
    if (const auto jinja = jinja_beside(model)) loaded.chat = recognise(*jinja, *loaded.tokenizer);
    return loaded;
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(model))
    if (entry.path().extension() == ".gguf") files.push_back(entry.path());
  if (files.size() != 1)
    throw Error(ExitCode::kNotFound, "{}: has no tokenizer.json and {} .gguf files; one of either is wanted", model.string(), files.size());
  return load_tokenizer(Gguf::open(files[0]));
}

}  // namespace deskhand
