// Passes that come again and again with the same shapes: on CUDA the second is recorded and from the third on all of its kernels are
// started as one. On other backends a pass is just done.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "deskhand/ops/paged_attention.h"

namespace deskhand {

// All that a pass may be given from the host besides views: what changes from one to the next.
struct PassInputs {
  std::span<const std::int32_t> tokens, positions;  // (N)
  std::span<const KvSequence> sequences;
  std::span<const std::int32_t> bounds;
};

class RepeatedPasses {
 public:
  // `pass` does embed, rope, store_keys_values and paged_attention with just these inputs, other ops with views alone. `key` names its
  // shapes and addresses: two passes of one key differ in the values of `inputs` only.
  void run(const Backend& on, const PassInputs& inputs, std::vector<std::int64_t> key, const std::function<void()>& pass);

 private:
  std::map<std::vector<std::int64_t>, std::shared_ptr<void>> recorded_;
};

namespace cuda {
void run_repeated(const Backend& on, std::shared_ptr<void>& recorded, const PassInputs& inputs, const std::function<void()>& pass);
std::int64_t table_step(std::span<const KvSequence> sequences);  // decides shapes of paged_attention
void upload_tables(const Backend& on, std::span<const KvSequence> sequences, std::span<const std::int32_t> bounds);
}  // namespace cuda

}  // namespace deskhand
