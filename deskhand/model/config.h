// What a model is, read from a Hugging Face folder (config.json, generation_config.json) or from GGUF metadata. Each Llama-like family is
// one entry of the table in config.cpp. Letters: tensor/notation.h.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "deskhand/model/gguf.h"
#include "deskhand/ops/rope.h"

namespace deskhand {

// How the frequencies of the rotation are stretched for longer contexts.
struct RopeScaling {
  enum class Kind : std::uint8_t { kNone, kLinear, kLlama3 };
  Kind kind = Kind::kNone;
  double factor = 1;
  double low_frequency_factor = 1, high_frequency_factor = 4;  // kLlama3 alone
  double original_positions = 8192;                            // kLlama3 alone
};

struct DecoderConfig {
  std::string family;                    // "llama", "qwen2", "mistral"; a GGUF of Mistral says "llama"
  std::int64_t vocabulary = 0;           // V
  std::int64_t width = 0;                // C
  std::int64_t layers = 0;               // L
  std::int64_t heads = 0, kv_heads = 0;  // H, G
  std::int64_t head_width = 0;           // D
  std::int64_t feed_forward = 0;         // F
  float norm_epsilon = 1e-5f;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  RopePairs rope_pairs = RopePairs::kHalves;
  bool qkv_bias = false;
  bool tied_head = false;          // the head is the embedding
  std::int64_t max_positions = 0;  // a sliding window cuts it: inside one window sliding and full attention are the same
  std::int32_t bos = -1;           // -1: none
  std::vector<std::int32_t> eos;   // any of them ends an answer

  std::int64_t kv_width() const { return kv_heads * head_width; }
  std::int64_t query_width() const { return heads * head_width; }
};

// BERT and its kin: post-LN encoder with absolute positions.
struct EncoderConfig {
  std::int64_t vocabulary = 0, width = 0, layers = 0, heads = 0, feed_forward = 0;  // V, C, L, H, F
  std::int64_t max_positions = 0;
  std::int64_t max_tokens = 0;  // where texts are to be cut (sentence_bert_config.json), at most max_positions
  std::int64_t token_types = 2;
  float norm_epsilon = 1e-12f;
};

// Throw Error(kNotFound) or Error(kBadInput): the file, the key, what stands there and what was wanted.
DecoderConfig read_decoder_config(const std::filesystem::path& folder);
DecoderConfig read_decoder_config(const Gguf& file);
EncoderConfig read_encoder_config(const std::filesystem::path& folder);

// D / 2 angles a position, scaled; position p turns pair i by p times the i-th. Llama 3's stretching: Meta, llama-models,
// models/llama3/model.py, apply_scaling.
std::vector<double> rope_frequencies(const DecoderConfig& config);

}  // namespace deskhand
