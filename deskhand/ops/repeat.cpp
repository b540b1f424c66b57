#include "deskhand/ops/repeat.h"

#include <utility>

namespace deskhand {

void RepeatedPasses::run(const Backend& on, const PassInputs& inputs, std::vector<std::int64_t> key, const std::function<void()>& pass) {
  constexpr std::size_t kMost = 256;
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) {
      key.insert(key.end(), inputs.bounds.begin(), inputs.bounds.end());
      key.push_back(cuda::table_step(inputs.sequences));
      if (recorded_.size() >= kMost && !recorded_.contains(key)) recorded_.clear();
      return cuda::run_repeated(on, recorded_[std::move(key)], inputs, pass);
    }
  pass();
}

}  // namespace deskhand
