#include "deskhand/generate/load_tokenizer.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/generate/generator.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;
const fs::path kTexts = fs::path(DESKHAND_SOURCE_DIR) / "tests/golden/text";

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string& out, std::string_view text) {
  put(out, std::uint64_t{text.size()});
  out += text;
}

// The 256 bytes as GPT-2 writes them: printable ones as themselves, the others as U+0100 and on.
std::vector<std::string> byte_symbols() {
  std::vector<std::string> symbols;
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    const int code = printable ? byte : next++;
    symbols.push_back(code < 0x80 ? std::string(1, static_cast<char>(code))
                                  : std::string{static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))});
  }
  return symbols;
}

// A GGUF file of metadata alone: the tokenizer's tables.
std::string gguf_with_tables(const std::vector<std::string>& tokens, const std::vector<std::int32_t>& types,
                             const std::vector<std::string>& merges, std::string_view jinja) {
  std::string keys;
  std::uint64_t count = 0;
  const auto key = [&](std::string_view name, std::uint32_t type) {
    put_text(keys, name);
    put(keys, type);
    ++count;
  };
  const auto texts = [&](std::string_view name, const std::vector<std::string>& values) {
    key(name, 9);
    put(keys, std::uint32_t{8});
    put(keys, std::uint64_t{values.size()});
    for (const std::string& value : values) put_text(keys, value);
  };
  for (const auto& [name, value] :
       {std::pair("general.architecture", "qwen2"), {"tokenizer.ggml.model", "gpt2"}, {"tokenizer.ggml.pre", "qwen2"}}) {
    key(name, 8);
    put_text(keys, value);
  }
  texts("tokenizer.ggml.tokens", tokens);
  texts("tokenizer.ggml.merges", merges);
  key("tokenizer.ggml.token_type", 9);
  put(keys, std::uint32_t{5});
  put(keys, std::uint64_t{types.size()});
  for (const std::int32_t type : types) put(keys, type);
  key("tokenizer.ggml.eos_token_id", 4);
  put(keys, static_cast<std::uint32_t>(tokens.size() - 1));
  key("tokenizer.chat_template", 8);
  put_text(keys, jinja);
  std::string file = "GGUF";
  put(file, std::uint32_t{3});
  put(file, std::uint64_t{0});
  put(file, count);
  return file + keys;
}

TEST_CASE("a model folder gives its tokenizer and its chat template, whichever file the template is kept in") {
  const std::string jinja = read_text_file(kTexts / "chat/qwen2.5.jinja");
  for (const int kind : {0, 1, 2}) {
    const TemporaryFolder folder;
    fs::copy_file(kTexts / "qwen2/tokenizer.json", folder.path() / "tokenizer.json");
    if (kind == 0) write_file_atomically(folder.path() / "chat_template.jinja", jinja);
    Json config = Json::object();
    if (kind == 1) config["chat_template"] = jinja;
    if (kind == 2) config["chat_template"] = Json::array({{{"name", "default"}, {"template", jinja}}});
    write_file_atomically(folder.path() / "tokenizer_config.json", write_json(config));
    const LoadedTokenizer loaded = load_tokenizer(folder.path());
    REQUIRE(loaded.chat);
    CHECK(loaded.chat->family() == ChatTemplate::Family::kChatMl);
    CHECK(loaded.tokenizer->decode(loaded.tokenizer->encode("no tone")) == "no tone");
  }
  const TemporaryFolder folder;
  fs::copy_file(kTexts / "qwen2/tokenizer.json", folder.path() / "tokenizer.json");
  CHECK(!load_tokenizer(folder.path()).chat);
}

TEST_CASE("a GGUF file's own tables give the tokenizer, its specials and its chat template") {
  const TemporaryFolder folder;
  std::vector<std::string> tokens = byte_symbols();
  for (const char* more : {"no", "to", "Ġto", "<|im_start|>", "<|im_end|>"}) tokens.emplace_back(more);
  std::vector<std::int32_t> types(tokens.size(), 1);
  types[259] = types[260] = 3;
  write_file_atomically(folder.path() / "model.gguf",
                        gguf_with_tables(tokens, types, {"n o", "t o", "Ġ to"}, read_text_file(kTexts / "chat/qwen2.5.jinja")));
  for (const fs::path& path : {folder.path(), folder.path() / "model.gguf"}) {
    const LoadedTokenizer loaded = load_tokenizer(path);
    CHECK(loaded.tokenizer->encode("no tone") == std::vector<std::int32_t>{256, 258, 'n', 'e'});
    CHECK(loaded.tokenizer->eos() == 260);
    CHECK(loaded.tokenizer->encode_with_specials("<|im_end|>") == std::vector<std::int32_t>{260});
    REQUIRE(loaded.chat);
    CHECK(loaded.chat->family() == ChatTemplate::Family::kChatMl);
  }
}

TEST_CASE("a model without a tokenizer, or that is not there, is refused in a sentence") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(load_tokenizer(folder.path()), doctest::Contains("has no tokenizer.json and 0 .gguf files"), Error);
  CHECK_THROWS_WITH_AS(load_tokenizer(folder.path() / "none"), doctest::Contains("no such model"), Error);
}

TEST_CASE("forced text has the tokens that the models' own tokenizers give the whole answer") {
  using Kind = AnswerField::Kind;
  for (const char* family : {"qwen2", "llama3", "smollm", "gpt2"}) {
    CAPTURE(family);
    const LoadedTokenizer loaded = load_tokenizer(kTexts / family);
    const auto trie = token_trie(*loaded.tokenizer);
    const JsonGrammar grammar({{{"Urgency Code", Kind::kInteger, {"1", "2", "3"}},
                                {"Category", Kind::kLabel, {"Sales", "Sales Orders", "Größe \"x\"", "(none)"}},
                                {"Resolution", Kind::kText, {}, 400}}},
                              trie);
    for (std::int32_t label = 0; label < 4; ++label) {
      const std::vector<std::int32_t> labels{2, label};
      const auto whole = loaded.tokenizer->encode(grammar.text_before(2, labels) + "Check it.\"}");
      for (std::int32_t field = 0; field < 2; ++field) {  // what the model is asked behind is a beginning of the whole's tokens
        const auto stem = trie->spell(grammar.stem_before(field, labels));
        REQUIRE(stem.size() < whole.size());
        CHECK(std::equal(stem.begin(), stem.end(), whole.begin()));
      }
      auto at = grammar.start();
      for (const std::int32_t token : whole) REQUIRE(grammar.advance(at, token));
      CHECK(grammar.is_complete(at));
    }
  }
}

}  // namespace
}  // namespace deskhand
