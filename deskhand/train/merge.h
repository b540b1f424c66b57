// A model with an adapter worked into its weights, as a Hugging Face folder: W + scale B A for every pair, head and norms in place of the
// base's, q's and k's rows in Hugging Face's order whatever file the base lies in. Left out: tokenizer files, which the caller copies.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "deskhand/model/decoder.h"
#include "deskhand/train/adapter.h"

namespace deskhand {

// One tensor of the merged model, f32; `name` as in tensor_shapes.
Tensor merged_tensor(const Backend& on, const Decoder& base, const Adapter& adapter, const std::string& name);

// config.json, and model.safetensors or shards of at most shard_bytes (but one tensor at least) with their index; memory holds one shard.
// An adapter without parts writes the base as it is. stored: kF32, kF16 or kBF16. Makes the folder. Throws Error(kBadInput) if the adapter
// is not for this base, Error(kUsage) for a GGUF whose rotation (Llama 3's factors) config.json cannot name, Error(kCannotWrite).
void write_merged(const Backend& on, const Decoder& base, const Adapter& adapter, const std::filesystem::path& folder,
                  DType stored = DType::kBF16, std::int64_t shard_bytes = std::int64_t{2} << 30);

}  // namespace deskhand
