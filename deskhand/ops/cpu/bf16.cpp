#include "deskhand/ops/cpu/bf16.h"

#include <algorithm>

#include "deskhand/ops/cpu/dense.h"
#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

bool multiplies_in_bf16(const Backend& on, const LinearPart& part, std::int64_t tokens) {
  constexpr std::int64_t kMostTokens = 40;
  return tokens <= kMostTokens && on.cpu.avx512_bf16 &&
         (on.compute == Compute::kBF16 || (on.compute == Compute::kAuto && part.weight.type() == DType::kBF16));
}

#if defined(__x86_64__)
namespace {

constexpr std::int64_t kUnit = 32;  // rows rounded at once

enum Slot : int { kWeights, kInputs };

}  // namespace

void multiply_bf16(const Backend& on, const LinearPart& part, ConstView x) {
  const std::int64_t inputs = x.shape()[1], tokens = x.shape()[0], outputs = part.weight.shape()[0],
                     row = row_bytes(part.weight.type(), inputs);
  auto* const in = on.workspace->get<std::uint16_t>(kInputs, tokens * inputs);
  split(on, tokens, grain_of_rows(inputs), [&](std::int64_t begin, std::int64_t end, int) {
    avx512_bf16::round_row(in + begin * inputs, x.floats().data() + begin * inputs, (end - begin) * inputs);
  });
  const bool as_they_lie = part.weight.type() == DType::kBF16;
  // A worker's rounded rows, and one of them in f32 before.
  const std::int64_t floats = as_they_lie ? 0 : (kUnit * inputs + 1) / 2 + inputs;
  float* const scratch = on.workspace->get<float>(kWeights, floats * on.pool->size());
  split(on, (outputs + kUnit - 1) / kUnit, std::max<std::int64_t>(1, 65536 / (kUnit * inputs)),
        [&](std::int64_t begin, std::int64_t end, int worker) {
          float* const widened = scratch + worker * floats;
          auto* const rounded = reinterpret_cast<std::uint16_t*>(widened + inputs);
          for (std::int64_t first = begin * kUnit; first < std::min(end * kUnit, outputs); first += kUnit) {
            avx512_bf16::Bf16Task task{.weight_stride = inputs,
                                       .rows = std::min(kUnit, outputs - first),
                                       .x = in,
                                       .x_stride = inputs,
                                       .tokens = tokens,
                                       .inputs = inputs,
                                       .bias = part.bias.empty() ? nullptr : part.bias.floats().data() + first,
                                       .out = part.out.floats().data() + first,
                                       .out_stride = outputs};
            if (as_they_lie) {
              task.weight = reinterpret_cast<const std::uint16_t*>(part.weight.data() + first * row);
            } else {
              for (std::int64_t o = 0; o < task.rows; ++o) {
                widen_row(on, widened, ConstView(part.weight.data() + (first + o) * row, part.weight.type(), {1, inputs}));
                avx512_bf16::round_row(rounded + o * inputs, widened, inputs);
              }
              task.weight = rounded;
            }
            avx512_bf16::multiply(task);
          }
        });
}
#else
void multiply_bf16(const Backend&, const LinearPart&, ConstView) {}
#endif

}  // namespace deskhand::cpu
