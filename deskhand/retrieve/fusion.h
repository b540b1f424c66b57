// One list out of several channels. Reciprocal rank fusion (Cormack, Clarke, Buettcher 2009): fused = sum over channels of weight / (k +
// rank). It needs no calibration between cosine, BM25 and rarity sums, whose scales have nothing in common.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "deskhand/retrieve/vector_index.h"

namespace deskhand {

struct Channel {
  double weight = 1;         // 0: ranks are told and count for nothing
  std::vector<Scored> list;  // best first
};

struct FusedItem {
  std::uint32_t item = 0;
  double fused = 0;
  std::vector<int> ranks;      // (channels) from 1; 0: not in that channel's list
  std::vector<double> scores;  // (channels) 0 where the rank is 0
};

// Items that tie in a channel all take the rank of the last of them, so that a tie of a thousand cases that share one common keyword
// weighs next to nothing; ranks beyond `depth` are dropped. Best first, ties by item.
std::vector<FusedItem> fuse_by_rank(std::span<const Channel> channels, double k = 60, int depth = 100);

// The seed's score, .95 cosine + .05 keyword (scaled to 0..1). NaN in `cosines`: may not be found.
std::vector<Scored> fuse_seed(std::span<const float> cosines, std::span<const float> keyword, std::int64_t count);

}  // namespace deskhand
