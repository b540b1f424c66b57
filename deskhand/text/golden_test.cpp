// Ids, decoded texts and chat prompts equal those of Hugging Face's tokenizers and Jinja templates, saved by tools/save_golden_text.py.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/text/bpe.h"
#include "deskhand/text/chat_template.h"
#include "deskhand/text/tokenizer_json.h"
#include "deskhand/text/wordpiece.h"
#include "tests/temporary_folder.h"

using namespace deskhand;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(DESKHAND_SOURCE_DIR) / "tests/golden/text";

Json golden(const fs::path& name) {
  return parse_json(read_text_file(kGolden / name), name.string());
}

std::vector<std::string> texts() {
  return golden("texts.json").get<std::vector<std::string>>();
}

std::vector<int32_t> ids_of(const Json& list) {
  return list.get<std::vector<int32_t>>();
}

const std::vector<std::string> kByteLevelFamilies = {"llama3", "qwen2", "smollm", "gpt2", "spaced", "tekken"};
const std::vector<std::string> kFamilies = {"llama3", "qwen2", "smollm", "gpt2", "spaced", "tekken", "llama2", "mistral", "wordpiece"};

}  // namespace

TEST_CASE("ids of every family equal Hugging Face's, with specials recognised and without") {
  const auto all = texts();
  for (const std::string& family : kFamilies) {
    CAPTURE(family);
    const auto tokenizer = load_tokenizer_json(kGolden / family / "tokenizer.json");
    const Json rows = golden(family + "/ids.json");
    REQUIRE(rows.size() == all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      CAPTURE(all[i]);
      const auto with_specials = ids_of(rows[i]["ids"]);
      CHECK(tokenizer->encode_with_specials(all[i]) == with_specials);
      CHECK(tokenizer->encode(all[i]) == (rows[i].contains("ordinary") ? ids_of(rows[i]["ordinary"]) : with_specials));
    }
  }
}

TEST_CASE("decoding gives the text back, and where the model's own normaliser changed it, what Hugging Face gives") {
  const auto all = texts();
  for (const std::string& family : kFamilies) {
    if (family == "wordpiece") continue;  // WordPiece loses the white space; nothing decodes it
    CAPTURE(family);
    const auto tokenizer = load_tokenizer_json(kGolden / family / "tokenizer.json");
    const Json rows = golden(family + "/ids.json");
    for (std::size_t i = 0; i < all.size(); ++i) {
      CAPTURE(all[i]);
      CHECK(tokenizer->decode(tokenizer->encode(all[i])) == (rows[i].contains("decoded") ? rows[i]["decoded"].get<std::string>() : all[i]));
    }
  }
}

TEST_CASE("a GGUF's tables make the same byte-level tokenizer as the tokenizer.json") {
  const auto all = texts();
  for (const auto& [family, pre] : std::vector<std::pair<std::string, std::string>>{
           {"llama3", "llama-bpe"}, {"qwen2", "qwen2"}, {"smollm", "smollm"}, {"gpt2", "gpt-2"}, {"tekken", "tekken"}}) {
    CAPTURE(family);
    const Json file = golden(family + "/tokenizer.json");
    const auto json = load_tokenizer_json(kGolden / family / "tokenizer.json");
    TokenizerTables tables{.model = "gpt2", .pre = pre};
    tables.tokens.resize(static_cast<std::size_t>(json->size()));
    tables.token_types.assign(tables.tokens.size(), 1);
    for (const auto& [token, id] : file["model"]["vocab"].items()) tables.tokens[id.get<std::size_t>()] = token;
    for (const Json& token : file["added_tokens"]) {
      tables.tokens[token["id"].get<std::size_t>()] = token["content"];
      tables.token_types[token["id"].get<std::size_t>()] = 3;
    }
    for (const Json& merge : file["model"]["merges"])
      tables.merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    const auto gguf = make_tokenizer(tables);
    for (const std::string& text : all) {
      CAPTURE(text);
      CHECK(gguf->encode(text) == json->encode(text));
      CHECK(gguf->encode_with_specials(text) == json->encode_with_specials(text));
    }
  }
}

TEST_CASE("a GGUF's scores make the same SentencePiece tokenizer as the merges of the tokenizer.json") {
  const Json file = golden("llama2/tokenizer.json");
  const auto json = load_tokenizer_json(kGolden / "llama2/tokenizer.json");
  TokenizerTables tables{.model = "llama", .unk = 0};
  tables.tokens.resize(static_cast<std::size_t>(json->size()));
  tables.token_types.assign(tables.tokens.size(), 1);
  tables.scores.assign(tables.tokens.size(), 0);
  for (const auto& [token, id] : file["model"]["vocab"].items()) {
    tables.tokens[id.get<std::size_t>()] = token;
    if (token.starts_with("<0x")) tables.token_types[id.get<std::size_t>()] = 6;
    tables.scores[id.get<std::size_t>()] = -static_cast<float>(id.get<int>());  // trained in the order of merges: a token's rank is its id
  }
  for (const Json& token : file["added_tokens"]) tables.token_types[token["id"].get<std::size_t>()] = token["id"] == 0 ? 2 : 3;
  const auto gguf = make_tokenizer(tables);
  for (const std::string& text : texts()) {
    CAPTURE(text);
    CHECK(gguf->encode(text) == json->encode(text));
  }
}

TEST_CASE("a tokenizer.json as a GGUF's tables makes the same tokenizer, and written back as a tokenizer.json too") {
  const TemporaryFolder folder;
  for (const std::string family : {"llama3", "qwen2", "smollm", "gpt2", "tekken", "llama2"}) {
    CAPTURE(family);
    const auto json = load_tokenizer_json(kGolden / family / "tokenizer.json");
    const TokenizerTables tables = read_tokenizer_tables(kGolden / family / "tokenizer.json");
    const auto gguf = make_tokenizer(tables);
    std::unique_ptr<Tokenizer> again;
    if (tables.model == "gpt2") {
      write_file_atomically(folder.path() / "tokenizer.json", write_tokenizer_json(tables));
      write_file_atomically(folder.path() / "tokenizer_config.json", write_tokenizer_config(tables, ""));
      again = load_tokenizer_json(folder.path() / "tokenizer.json");
      CHECK(again->bos() == json->bos());
      CHECK(again->eos() == json->eos());
      CHECK(again->add_bos() == json->add_bos());
    }
    CHECK(gguf->size() == json->size());
    CHECK(gguf->add_bos() == json->add_bos());
    for (const std::string& text : texts()) {
      CAPTURE(text);
      CHECK(gguf->encode(text) == json->encode(text));
      if (!again) continue;
      CHECK(gguf->encode_with_specials(text) == json->encode_with_specials(text));
      CHECK(again->encode(text) == json->encode(text));
      CHECK(again->encode_with_specials(text) == json->encode_with_specials(text));
    }
  }
}

TEST_CASE("a tokenizer that the other format has no word for is refused with what to do") {
  CHECK_THROWS_WITH_AS(read_tokenizer_tables(kGolden / "spaced/tokenizer.json"), doctest::Contains("llama.cpp has no name"), Error);
  CHECK_THROWS_WITH_AS(read_tokenizer_tables(kGolden / "wordpiece/tokenizer.json"), doctest::Contains("WordPiece"), Error);
  CHECK_THROWS_WITH_AS(write_tokenizer_json(read_tokenizer_tables(kGolden / "llama2/tokenizer.json")),
                       doctest::Contains("beside the weights"), Error);
}

TEST_CASE("vocab.txt alone makes the same WordPiece tokenizer as the tokenizer.json") {
  const auto json = load_wordpiece(kGolden / "wordpiece/tokenizer.json"), lines = load_wordpiece(kGolden / "wordpiece/vocab.txt");
  for (const std::string& text : texts()) CHECK(lines->encode_for_encoder(text) == json->encode_for_encoder(text));
}

TEST_CASE("MiniLM's own tokenizer gives the ids that sentence-transformers gives, cut at 256") {
  const char* models = std::getenv("DESKHAND_MODELS");
  const fs::path folder = fs::path(models ? models : "") / "all-minilm-l6-v2";
  if (!fs::exists(folder / "tokenizer.json")) {
    MESSAGE("skipped: no all-minilm-l6-v2 in DESKHAND_MODELS");
    return;
  }
  const auto all = texts();
  const Json rows = golden("minilm/ids.json");
  for (const char* name : {"tokenizer.json", "vocab.txt"}) {
    const auto tokenizer = load_wordpiece(folder / name);
    for (std::size_t i = 0; i < all.size(); ++i) {
      CAPTURE(all[i]);
      CHECK(tokenizer->encode_for_encoder(all[i], 256) == ids_of(rows[i]));
    }
  }
}

TEST_CASE("chat prompts equal what the models' Jinja templates render") {
  const Json rows = golden("chat/rendered.json");
  int compared = 0;
  for (const Json& row : rows) {
    const std::string name = row["template"], bos = row["bos"], eos = row["eos"];
    CAPTURE(name);
    const std::string jinja = read_text_file(kGolden / "chat" / (name + ".jinja"));
    const ChatTemplate chat = ChatTemplate::recognise(jinja, bos, eos);
    std::vector<ChatMessage> messages;
    for (const Json& message : row["messages"]) {
      const std::string role = message["role"];
      messages.push_back({role == "system" ? Role::kSystem : role == "user" ? Role::kUser : Role::kAssistant, message["content"]});
    }
    const RenderOptions options{.add_generation_prompt = row["prompt"], .date_string = "05 Mar 2025"};
    if (row["rendered"].is_null()) continue;  // the template refuses these turns; what happens here is tested by itself
    const auto parts = chat.render(messages, options);
    CHECK(joined(parts) == row["rendered"].get<std::string>());
    ++compared;
  }
  CHECK(compared > 130);
}

TEST_CASE("the parts of a chat prompt give the ids of the whole prompt") {
  const auto tokenizer = load_tokenizer_json(kGolden / "qwen2/tokenizer.json");
  const auto chat = ChatTemplate::recognise(read_text_file(kGolden / "chat/qwen2.5.jinja"), "", "<|im_end|>");
  for (const std::string& text : texts()) {
    if (text.find("<|") != std::string::npos) continue;
    const std::vector<ChatMessage> messages = {{Role::kUser, text}};
    const auto parts = chat.render(messages);
    CHECK(tokenizer->encode(parts) == tokenizer->encode_with_specials(joined(parts)));
  }
}

TEST_CASE("the tokens' bytes joined are the text, for every byte-level family") {
  for (const std::string& family : kByteLevelFamilies) {
    if (family == "qwen2" || family == "spaced") continue;  // these change the text first
    const auto tokenizer = load_tokenizer_json(kGolden / family / "tokenizer.json");
    for (const std::string& text : texts()) {
      std::string bytes;
      for (const int32_t id : tokenizer->encode(text)) {
        CHECK_FALSE(tokenizer->is_special(id));
        bytes += tokenizer->token_bytes(id);
      }
      CHECK(bytes == text);
    }
  }
}
