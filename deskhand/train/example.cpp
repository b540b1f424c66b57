#include "deskhand/train/example.h"

#include "deskhand/base/sha256.h"

namespace deskhand {

std::string hash_of(std::span<const Example> examples) {
  Sha256 hash;
  for (const Example& example : examples) {
    const std::int32_t head[] = {example.size(), example.answer_begin, example.answer_only ? 1 : 0};
    hash.update({reinterpret_cast<const char*>(head), sizeof head});
    hash.update({reinterpret_cast<const char*>(example.ids.data()), example.ids.size() * sizeof(std::int32_t)});
    hash.update({reinterpret_cast<const char*>(example.weights.data()), example.weights.size() * sizeof(float)});
  }
  return hash.finish();
}

}  // namespace deskhand
