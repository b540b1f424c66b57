#include "deskhand/retrieve/fusion.h"

#include <algorithm>
#include <unordered_map>

#include "deskhand/base/error.h"

namespace deskhand {

std::vector<FusedItem> fuse_by_rank(std::span<const Channel> channels, double k, int depth) {
  std::vector<FusedItem> items;
  std::unordered_map<std::uint32_t, std::size_t> places;
  for (std::size_t channel = 0; channel < channels.size(); ++channel) {
    const auto& list = channels[channel].list;
    for (std::size_t begin = 0, end = 0; begin < list.size(); begin = end) {
      while (end < list.size() && list[end].score == list[begin].score) ++end;
      if (end == begin) ++end;  // NaN equals nothing
      const auto rank = static_cast<int>(std::min<std::size_t>(end, 1u << 30));
      if (rank > depth) break;
      for (std::size_t i = begin; i < end; ++i) {
        const auto [place, is_new] = places.try_emplace(list[i].item, items.size());
        if (is_new) items.push_back({list[i].item, 0, std::vector<int>(channels.size()), std::vector<double>(channels.size())});
        FusedItem& item = items[place->second];
        item.fused += channels[channel].weight / (k + rank);
        item.ranks[channel] = rank;
        item.scores[channel] = list[i].score;
      }
    }
  }
  std::sort(items.begin(), items.end(),
            [](const FusedItem& a, const FusedItem& b) { return a.fused != b.fused ? a.fused > b.fused : a.item < b.item; });
  return items;
}

std::vector<Scored> fuse_seed(std::span<const float> cosines, std::span<const float> keyword, std::int64_t count) {
  DESKHAND_ASSERT(cosines.size() == keyword.size(), "(cases) of cosines and keyword");
  std::vector<float> scores(cosines.size());
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = 0.95f * cosines[i] + 0.05f * keyword[i];
  return best_of(scores, count);
}

}  // namespace deskhand
