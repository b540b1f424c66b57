// A model with an adapter worked into its weights, as a Hugging Face folder: W + scale B A for every pair, head and norms in place of the
// base's, q's and k's rows in Hugging Face's order whatever file the base lies in. Left out: tokenizer files, which the caller copies.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "deskhand/model/decoder.h"
#include "deskhand/train/adapter.h"

namespace deskhand {

// One tensor of the merged model, f32; `name` as in tensor_shapes.
Tensor merged_tensor(const Backend& on, const Decoder& base, const Adapter& adapter, const std::string& name);

// Rows [first, first + count) of it, for files that are written part by part; whole heads of q and k. A vector is taken whole.
Tensor merged_rows(const Backend& on, const Decoder& base, const Adapter& adapter, const std::string& name, std::int64_t first,
                   std::int64_t count);
// The merged model has a head beside its embedding: the base's own, or one that training untied.
bool has_own_head(const DecoderConfig& config, const Adapter& adapter);

// config.json, and model.safetensors or shards of at most shard_bytes (but one tensor at least) with their index; memory holds one shard.
// An adapter without parts writes the base as it is. stored: kF32, kF16 or kBF16. Makes the folder. Throws Error(kBadInput) if the adapter
// is not for this base, Error(kUsage) for a GGUF whose rotation (Llama 3's factors) config.json cannot name, Error(kCannotWrite).
void write_merged(const Backend& on, const Decoder& base, const Adapter& adapter, const std::filesystem::path& folder,
                  DType stored = DType::kBF16, std::int64_t shard_bytes = std::int64_t{2} << 30,
                  const std::function<void(std::int64_t)>& made = {});

}  // namespace deskhand
