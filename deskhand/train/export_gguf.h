// Models and adapters as llama.cpp reads them. A model: GGUF with its tokenizer, an adapter worked into the weights where there is one. An
// adapter alone: llama.cpp's LoRA file, general.type "adapter", NAME.lora_a (R, I) and NAME.lora_b (O, R). A model of the Llama family has
// the rows of q and k (of B, in an adapter) as GGUF wants them. Specification: github.com/ggml-org/ggml, docs/gguf.md; names of an
// adapter's keys: llama.cpp, src/llama-adapter.cpp. Left out: files split in parts, importance matrices, k-quants.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "deskhand/model/decoder.h"
#include "deskhand/text/tokenizer_json.h"
#include "deskhand/train/adapter.h"

namespace deskhand {

struct GgufModelOptions {
  DType stored = DType::kF16;  // of matrices: kF32, kF16, kBF16, kQ8_0 or kQ4_0 (embedding and head: q8_0); vectors f32; broken blocks f16
  std::string name;            // general.name; empty: the base's own
  // Of a Hugging Face folder; a GGUF base brings its own, which is copied with all of its metadata.
  std::optional<TokenizerTables> tokenizer;
  std::string chat_template;
  std::function<void(std::int64_t)> written;  // bytes of each part; what it throws ends the export
};

// With a quantised type, a matrix that the base holds quantised and the adapter leaves alone is copied as it lies: quantising again would
// only lose. An adapter without parts writes the base. Memory holds some 64 MB beside the adapter. Throws Error(kBadInput) if the adapter
// is not for this base, Error(kUsage) for a tokenizer that GGUF has no name for, Error(kCannotWrite).
void write_gguf_model(const Backend& on, const Decoder& base, const Adapter& adapter, const std::filesystem::path& path,
                      const GgufModelOptions& options);
std::int64_t gguf_model_bytes(const Decoder& base, const Adapter& adapter, DType stored);  // of its tensors, for progress

// stored: kF32, kF16 or kBF16. A scale of a pair that is not alpha / R of the whole file is worked into B. Throws Error(kUsage) for what
// the format cannot hold: trained head or norms (a hybrid), a pair on a head that is the embedding.
void write_gguf_lora(const DecoderConfig& base, const Adapter& adapter, const std::filesystem::path& path, DType stored = DType::kF32);
// The same back, as read_adapter gives it. Throws Error(kBadInput) for another kind of file or a pair that is not whole.
Adapter read_gguf_lora(const DecoderConfig& base, const std::filesystem::path& path);

}  // namespace deskhand
