// gpu_training METHOD TEXTS LENGTHS PASSES STEPS [BASE] [LAYERS] [RECOMPUTE] [DROPOUT]: whole steps (forward, backward, clipping, AdamW) of
// a model of Llama-3.1-8B's shape with random weights on the GPU; BASE is their type (bf16, q4_k, ...) or fp8, the layers' matrices in FP8.
// TEXTS random texts, their LENGTHS in turn ("1024" or "110,160"), in PASSES passes; loss on every token; METHOD lora (q and v, r 16),
// hybrid, or small: the starter's shape (Qwen2.5-0.5B) and recipe, all linears, dropout .05. One JSON object: the median step's tokens a
// second, the memory that the card lacked at the end, the losses.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <random>

#include "bench/llama8b.h"
#include "bench/random_texts.h"
#include "bench/random_weights.h"
#include "deskhand/model/training_pass.h"
#include "deskhand/ops/optimizer.h"
#include "deskhand/tensor/cuda/context.h"
#include "deskhand/train/adapt.h"
#include "deskhand/train/frozen_base.h"

using namespace deskhand;

namespace {

// fp8 not null: where the layers' matrices are quantised to FP8; then nothing else of them stays.
DecoderWeights random_decoder(const DecoderConfig& c, RandomWeights& random, const Backend* fp8) {
  DecoderWeights weights;
  weights.embedding = random.matrix(c.vocabulary, c.width);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::size_t before = random.owned.size();
    const DecoderLayer layer{.attention_norm = {},
                             .q = {random.matrix(c.query_width(), c.width)},
                             .k = {random.matrix(c.kv_width(), c.width)},
                             .v = {random.matrix(c.kv_width(), c.width)},
                             .attention_out = {random.matrix(c.width, c.query_width())},
                             .feed_forward_norm = {},
                             .gate = {random.matrix(c.feed_forward, c.width)},
                             .up = {random.matrix(c.feed_forward, c.width)},
                             .down = {random.matrix(c.width, c.feed_forward)}};
    weights.layers.push_back(fp8 ? layer_in_fp8(*fp8, layer, weights.owned) : layer);
    if (fp8) random.owned.resize(before);
    weights.layers.back().attention_norm = random.vector(c.width, 1);
    weights.layers.back().feed_forward_norm = random.vector(c.width, 1);
  }
  weights.final_norm = random.vector(c.width, 1);
  weights.head.weight = random.matrix(c.vocabulary, c.width);
  return weights;
}

Tensor random_floats(Shape shape, float scale, unsigned seed) {
  Tensor tensor(DType::kF32, shape);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  constexpr std::size_t kDrawn = 1 << 20;  // repeated from there on
  const std::span<float> values = tensor.floats();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i < kDrawn ? normal(random) : values[i - kDrawn];
  return tensor.copy_to(Device::kCuda);
}

Adapter random_adapter(const DecoderConfig& c, const DecoderWeights& base, bool hybrid, bool all) {
  constexpr std::int64_t kRank = 16;
  Adapter adapter{.alpha = 2 * kRank};
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const auto seed = static_cast<unsigned>(2 * i);
    for (const LayerLinear& part : kLayerLinears) {
      if (!all && part.name != "self_attn.q_proj" && part.name != "self_attn.v_proj") continue;
      const Shape& shape = (base.layers[static_cast<std::size_t>(i)].*part.linear).weight.shape();
      adapter.lora.emplace(layer_part(i, part.name),
                           LoraPair{random_floats({kRank, shape[1]}, 0.01f, seed), random_floats({shape[0], kRank}, 0.01f, seed + 1), 2});
    }
    if (!hybrid) continue;
    for (const char* norm : {"input_layernorm", "post_attention_layernorm"})
      adapter.replaced.emplace(layer_part(i, norm) + ".weight", random_floats({c.width}, 1, seed));
  }
  if (!hybrid) return adapter;
  adapter.replaced.emplace("model.norm.weight", random_floats({c.width}, 1, 7));
  adapter.replaced.emplace("lm_head.weight", random_floats({c.vocabulary, c.width}, 0.02f, 8));
  return adapter;
}

std::vector<std::int64_t> numbers_of(std::string_view text) {
  std::vector<std::int64_t> numbers;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    numbers.push_back(std::atoll(std::string(text.substr(0, comma)).c_str()));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return numbers;
}

DType type_of(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(DType::kQ6_K); ++i)
    if (dtype_name(static_cast<DType>(i)) == name) return static_cast<DType>(i);
  throw Error(ExitCode::kUsage, "no type of weights: {}", name);
}

}  // namespace

int main(int count, char** arguments) try {
  if (count < 6) {
    fmt::print(stderr, "usage: gpu_training METHOD TEXTS LENGTHS PASSES STEPS [BASE] [LAYERS] [RECOMPUTE] [DROPOUT]\n");
    return 2;
  }
  const auto number = [&](int at, std::int64_t otherwise) { return at < count ? std::atoll(arguments[at]) : otherwise; };
  const bool hybrid = std::string_view(arguments[1]) == "hybrid", small = std::string_view(arguments[1]) == "small";
  const std::int64_t texts = number(2, 0), passes = number(4, 1), steps = number(5, 1);
  const auto given = numbers_of(arguments[3]);
  const CudaDevices found = cuda_devices(1);
  if (found.devices.empty()) {
    constexpr int kSkipped = 77;
    fmt::print(stderr, "skipped, no GPU: {}\n", found.reason);
    return kSkipped;
  }
  CudaContext context;
  Workspace workspace;
  const Backend on{.kind = Backend::Kind::kCuda, .workspace = &workspace, .cuda = &context};
  const std::string_view held = count > 6 ? arguments[6] : "bf16";
  const float dropout = count > 9 ? std::strtof(arguments[9], nullptr) : small ? 0.05f : 0.0f;
  const bool fp8 = held == "fp8";
  const DecoderConfig config = small ? qwen05b(number(7, 24)) : llama8b(number(7, 32));
  RandomWeights random(fp8 ? DType::kBF16 : type_of(held));
  const DecoderWeights base = random_decoder(config, random, fp8 ? &on : nullptr);
  Adapter adapter = random_adapter(config, base, hybrid, small);
  DecoderWeights weights = adapted(base, adapter, config);
  Parameters parameters = Parameters::of(adapter, 1);
  parameters.keep_rounded(on, weights.head.weight);
  const DecoderGradients gradients = gradients_of(parameters, config);
  std::vector<std::int64_t> lengths;
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; i < texts / passes; ++i) tokens += lengths.emplace_back(given[static_cast<std::size_t>(i) % given.size()]);
  TrainingPass pass(config, weights,
                    {.tokens = tokens,
                     .positions = *std::max_element(given.begin(), given.end()),
                     .recompute = number(8, 0) != 0,
                     .activations = {Device::kCuda, DType::kBF16},
                     .fp8 = fp8});
  std::vector<double> seconds, losses;
  for (std::int64_t step = 1; step <= steps; ++step) {
    std::vector<Texts> drawn;
    for (std::int64_t i = 0; i < passes; ++i)
      drawn.push_back(random_texts(lengths, config.vocabulary, static_cast<std::uint64_t>(step * passes + i)));
    context.synchronise();
    const auto start = std::chrono::steady_clock::now();
    parameters.clear_gradients(on, gradients.head.weight);
    double loss = 0;
    Into head = Into::kOverwrite;
    const auto targets = static_cast<double>(passes * (tokens - static_cast<std::int64_t>(lengths.size())));
    for (const Texts& one : drawn) {
      loss +=
          pass.backward(
                  on, {one.tokens, one.bounds, one.rows, one.targets}, gradients,
                  {.scale = static_cast<float>(1 / targets), .dropout = dropout, .step = static_cast<std::uint32_t>(step), .head = head})
              .loss;
      head = Into::kAdd;
    }
    const double scale = clip_scale(gradient_norm(on, parameters.gradients()).norm, 1);
    adamw(on, parameters.parts(), {.learning_rate = 1e-6, .step = step, .gradient_scale = scale});
    context.synchronise();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    losses.push_back(loss / targets);
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  fmt::print("{{\"tokens_s\": {:.0f}, \"step_s\": {:.4f}, \"all_s\": {:.1f}, \"gib\": {:.2f}, \"losses\": [{:.4f}]}}\n",
             static_cast<double>(tokens * passes) / median, median, std::accumulate(seconds.begin(), seconds.end(), 0.0),
             gib_taken(context), fmt::join(losses, ", "));
} catch (const std::exception& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}
