// Tokenizers from files: Hugging Face's tokenizer.json, and the tables that a GGUF file carries.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/text/tokenizer.h"

namespace deskhand {

// BPE (byte-level or SentencePiece's) and WordPiece. A tokenizer_config.json beside it names bos and eos, if there is one.
// Throws Error(kBadInput) with one sentence for what is missing, wrong or of a kind not known, Error(kTooLarge) beyond 256 MB.
std::unique_ptr<Tokenizer> load_tokenizer_json(const std::filesystem::path& path);

// GGUF's keys tokenizer.ggml.*, by their names there.
struct TokenizerTables {
  std::string model;  // "gpt2": byte-level BPE; "llama": SentencePiece's BPE
  std::string pre;    // "llama-bpe", "qwen2", "smollm", "gpt-2", "tekken", ..., "default" or "" where the file has none
  std::vector<std::string> tokens;
  std::vector<std::string> merges;            // "left right"; gpt2 only
  std::vector<int32_t> token_types;           // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte; empty: all normal
  std::vector<float> scores;                  // llama only
  std::optional<int32_t> bos, eos, unk, pad;  // bos_token_id, eos_token_id, unknown_token_id, padding_token_id
  std::optional<bool> add_bos, add_eos;       // add_bos_token, add_eos_token; without a value: what the model kind does
  std::optional<bool> add_space_prefix;       // llama only; without a value: yes
  std::string where = "tokenizer tables";     // the file's name, for errors
};
std::unique_ptr<Tokenizer> make_tokenizer(const TokenizerTables& tables);

// A tokenizer.json as GGUF's tables, and byte-level tables ("gpt2") as a tokenizer.json: the tokenizers made of either are the same. Throw
// Error(kUsage) for what the other format has no word for: a pre-tokenizer that llama.cpp does not know, WordPiece; SentencePiece's tables
// as a tokenizer.json.
TokenizerTables read_tokenizer_tables(const std::filesystem::path& tokenizer_json);
std::string write_tokenizer_json(const TokenizerTables& tables);
// What stands beside it: which tokens begin, end and fill a text, and the chat template, empty for none.
std::string write_tokenizer_config(const TokenizerTables& tables, std::string_view chat_template);

}  // namespace deskhand
