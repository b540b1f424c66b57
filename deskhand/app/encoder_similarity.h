// How near two texts are to the desk's encoder: cosine of their vectors, which are those that retrieval compares, and BERTScore of their
// token vectors. A text that spells out "[SEP]" is read as these characters, as everywhere in deskhand; the Python package takes them for
// the special token.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "deskhand/evaluate/prediction.h"
#include "deskhand/triage/embedder.h"

namespace deskhand {

struct TextPair {
  std::string candidate, reference;
};

struct EncoderSimilaritySettings {
  std::int32_t max_pieces = 512;                    // a text counts up to here for BERTScore, as its tokenizer has it in the Python package
  std::size_t pairs_at_once = 64;                   // read and matched together
  std::size_t kept_bytes = std::size_t{256} << 20;  // of token vectors kept for later pairs; what does not fit is made again
};

// One for each pair. Every distinct text is read once, so give all pairs of an evaluation in one call. All zero where a text is empty.
// Memory is bounded by the settings, however many pairs there are. `on` is the processor, which compares what the embedder makes wherever
// it runs. Throws Error(kInterrupted) on Ctrl-C.
std::vector<EncoderSimilarity> encoder_similarity(EncoderEmbedder& embedder, const Backend& on, std::span<const TextPair> pairs,
                                                  const EncoderSimilaritySettings& settings = {});

}  // namespace deskhand
