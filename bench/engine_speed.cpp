// engine_speed MODEL THREADS PROMPT NEW REPEATS: what llama-bench measures, with this engine. A prompt of PROMPT tokens in one pass with
// the logits of its last token; NEW tokens one at a time from an empty cache. One JSON object: medians in tokens a second, peak memory.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <random>

#include "deskhand/base/error.h"
#include "deskhand/model/decoder.h"

using namespace deskhand;

namespace {

constexpr std::int64_t kPageTokens = 32;

class Measure {
 public:
  Measure(const Decoder& decoder, const Backend& backend, std::int64_t tokens)
      : decoder_(decoder),
        backend_(backend),
        buffers_(decoder.make_buffers({.tokens = tokens, .positions = tokens})),
        logits_(DType::kF32, {1, decoder.config().vocabulary}) {
    const auto& config = decoder.config();
    const std::int64_t pages = (tokens + kPageTokens - 1) / kPageTokens;
    page_ids_.resize(static_cast<std::size_t>(pages));
    std::iota(page_ids_.begin(), page_ids_.end(), 0);
    for (std::int64_t layer = 0; layer < config.layers; ++layer)
      for (int side = 0; side < 2; ++side)
        storage_.emplace_back(DType::kF16, Shape{pages, kPageTokens, config.kv_heads, config.head_width});
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(config.layers); ++layer)
      pages_.push_back({storage_[2 * layer].view(), storage_[2 * layer + 1].view()});
  }

  // Seconds for `count` new tokens at position `past`.
  double pass(std::int64_t past, std::int64_t count) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(count)), positions(tokens.size());
    for (auto& token : tokens) token = static_cast<std::int32_t>(random_() % static_cast<std::uint64_t>(decoder_.config().vocabulary));
    std::iota(positions.begin(), positions.end(), static_cast<std::int32_t>(past));
    const std::vector<std::int32_t> bounds = {0, static_cast<std::int32_t>(count)}, rows = {static_cast<std::int32_t>(count - 1)};
    const KvSequence sequence{page_ids_, static_cast<std::int32_t>(past + count)};
    const auto start = std::chrono::steady_clock::now();
    decoder_.forward(backend_, buffers_,
                     {.tokens = tokens, .positions = positions, .bounds = bounds, .sequences = {&sequence, 1}, .logit_rows = rows}, pages_,
                     logits_);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  const Decoder& decoder_;
  const Backend& backend_;
  DecoderBuffers buffers_;
  Tensor logits_;
  std::vector<Tensor> storage_;
  std::vector<KvPages> pages_;
  std::vector<std::int32_t> page_ids_;
  std::mt19937_64 random_{42};
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int count, char** arguments) try {
  if (count != 6) {
    fmt::print(stderr, "usage: engine_speed MODEL THREADS PROMPT NEW REPEATS\n");
    return 2;
  }
  const std::int64_t prompt = std::atol(arguments[3]), fresh = std::atol(arguments[4]);
  const int repeats = std::atoi(arguments[5]);
  ThreadPool pool(std::atoi(arguments[2]));
  Workspace workspace;
  const Backend backend{.kind = Backend::Kind::kCpu, .pool = &pool, .workspace = &workspace, .cpu = CpuFeatures::detect()};
  const Decoder decoder = Decoder::load(arguments[1]);
  Measure measure(decoder, backend, std::max(prompt, fresh));
  measure.pass(0, prompt);  // pages of the file come in, scratch grows
  std::vector<double> prompt_rates, fresh_rates;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    prompt_rates.push_back(static_cast<double>(prompt) / measure.pass(0, prompt));
    double seconds = 0;
    for (std::int64_t past = 0; past < fresh; ++past) seconds += measure.pass(past, 1);
    fresh_rates.push_back(static_cast<double>(fresh) / seconds);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("{{\"prompt_tokens_s\": {:.2f}, \"new_tokens_s\": {:.2f}, \"peak_mib\": {:.1f}, \"cpu\": \"{}\"}}\n", median(prompt_rates),
             median(fresh_rates), static_cast<double>(usage.ru_maxrss) / 1024, backend.cpu.text());
  return 0;
} catch (const Error& error) {
  fmt::print(stderr, "engine_speed: {}\n", error.what());
  return static_cast<int>(error.code());
}
