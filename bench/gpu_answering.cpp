// gpu_answering TYPE [LAYERS]: a model of Llama-3.1-8B's shape with random weights of TYPE (bf16, q8_0, q4_0, q4_k, ...), made on the GPU.
// A prompt of 2048 tokens, one sequence generated behind it, 64 tickets of 700 + 128 tokens: each with its own prompt, and with prompts
// whose first 256 tokens are the same, as a desk's are (instruction and labels), so that they are read once and their pages shared. Greedy,
// without grammar: every token costs a step. gpu_answering minilm: texts of 160 tokens through an encoder of all-MiniLM-L6-v2's shape, 256
// at a time. One JSON object.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>

#include "bench/llama8b.h"
#include "bench/random_weights.h"
#include "deskhand/generate/kv_cache.h"
#include "deskhand/model/decoder.h"
#include "deskhand/model/encoder.h"
#include "deskhand/ops/argmax.h"
#include "deskhand/ops/tiled.h"
#include "deskhand/tensor/cuda/context.h"

using namespace deskhand;

namespace {

Decoder random_decoder(const DecoderConfig& c, DType type) {
  RandomWeights random(type);
  DecoderWeights weights;
  weights.embedding = random.matrix(c.vocabulary, c.width);
  const auto matrix = [&](std::int64_t rows, std::int64_t columns) {  // as Decoder::place has them
    const ConstView made = random.matrix(rows, columns);
    if (!can_be_tiled(made)) return made;
    random.owned.back() = tiled(made);
    return ConstView(random.owned.back());
  };
  for (std::int64_t i = 0; i < c.layers; ++i)
    weights.layers.push_back({.attention_norm = random.vector(c.width, 1),
                              .q = {matrix(c.query_width(), c.width)},
                              .k = {matrix(c.kv_width(), c.width)},
                              .v = {matrix(c.kv_width(), c.width)},
                              .attention_out = {matrix(c.width, c.query_width())},
                              .feed_forward_norm = random.vector(c.width, 1),
                              .gate = {matrix(c.feed_forward, c.width)},
                              .up = {matrix(c.feed_forward, c.width)},
                              .down = {matrix(c.width, c.feed_forward)}});
  weights.final_norm = random.vector(c.width, 1);
  weights.head = {matrix(c.vocabulary, c.width)};
  weights.owned = std::move(random.owned);
  return {c, std::move(weights)};
}

double seconds_of(CudaContext& context, const std::function<void()>& work) {
  context.synchronise();
  const auto start = std::chrono::steady_clock::now();
  work();
  context.synchronise();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Sequences that a decoder goes on with, the likeliest token each time.
class Writer {
 public:
  Writer(const Decoder& decoder, const Backend& on, DecoderLimits limits, std::int64_t cache_tokens, std::int64_t most)
      : decoder_(decoder),
        on_(on),
        buffers_(decoder.make_buffers(limits, DType::kBF16)),
        cache_({static_cast<std::int32_t>(decoder.config().layers), static_cast<std::int32_t>(decoder.config().kv_heads),
                static_cast<std::int32_t>(decoder.config().head_width), decoder.device()},
               {.tokens = cache_tokens}, &on_),
        logits_(DType::kF32, {most, decoder.config().vocabulary}, Device::kCuda) {}

  KvCache::Sequence sequence() { return cache_.sequence(); }

  // Feeds each sequence its tokens, in one pass; the likeliest token behind each.
  std::vector<std::int32_t> feed(std::span<KvCache::Sequence* const> sequences, std::span<const std::vector<std::int32_t>> texts) {
    std::vector<std::int32_t> tokens, positions, bounds{0}, rows;
    std::vector<KvSequence> kv;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      for (std::size_t k = 0; k < texts[i].size(); ++k) positions.push_back(sequences[i]->length() + static_cast<std::int32_t>(k));
      tokens.insert(tokens.end(), texts[i].begin(), texts[i].end());
      sequences[i]->grow(static_cast<std::int32_t>(texts[i].size()));
      bounds.push_back(static_cast<std::int32_t>(tokens.size()));
      rows.push_back(bounds.back() - 1);
      kv.push_back(sequences[i]->kv());
    }
    const auto count = static_cast<std::int64_t>(rows.size());
    decoder_.forward(on_, buffers_, {tokens, positions, bounds, kv, rows}, cache_.layers(), logits_.view().rows(0, count));
    std::vector<std::int32_t> chosen(rows.size());
    argmax(on_, chosen, logits_.view().rows(0, count));
    return chosen;
  }

 private:
  const Decoder& decoder_;
  Backend on_;
  DecoderBuffers buffers_;
  KvCache cache_;
  Tensor logits_;
};

std::vector<std::int32_t> random_tokens(std::size_t count, unsigned seed, std::int64_t vocabulary) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> tokens(count);
  for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(vocabulary));
  return tokens;
}

void measure_decoder(const Backend& on, DType type, std::int64_t layers) {
  constexpr std::int32_t kPrompt = 2048, kNew = 128, kTickets = 64, kTicket = 700, kShared = 256, kPass = 8192;
  const DecoderConfig config = llama8b(layers);
  const Decoder decoder = random_decoder(config, type);
  double prompt = 1e9, generate = 0, gib = 0;
  {
    Writer writer(decoder, on, {.tokens = kPrompt, .positions = 4096}, 4096, 1);
    const std::vector<std::int32_t> text = random_tokens(kPrompt, 1, config.vocabulary);
    KvCache::Sequence sequence;
    std::vector<std::int32_t> next;
    KvCache::Sequence* const one = &sequence;
    for (int i = 0; i < 3; ++i) {
      sequence = writer.sequence();
      prompt = std::min(prompt, seconds_of(*on.cuda, [&] { next = writer.feed({&one, 1}, {{text}}); }));
    }
    const auto steps = [&](int count) {
      for (int i = 0; i < count; ++i) next = writer.feed({&one, 1}, {{{next[0]}}});
    };
    steps(8);
    generate = kNew / seconds_of(*on.cuda, [&] { steps(kNew); });
    gib = gib_taken(*on.cuda);
  }
  fmt::print("{{\"weights\": \"{}\", \"layers\": {}, \"prompt2048_tok_s\": {:.0f}, \"generate_tok_s\": {:.1f}, \"gib\": {:.2f}",
             dtype_name(type), layers, kPrompt / prompt, generate, gib);
  std::fflush(stdout);
  double tickets = 0, sharing_tickets = 0;
  {
    Writer writer(decoder, on, {.tokens = kPass, .positions = 1024}, kTickets * 864, kTickets);
    const auto all = [&](std::int32_t new_tokens, std::int32_t shared) {
      KvCache::Sequence beginning = writer.sequence();
      KvCache::Sequence* const one = &beginning;
      if (shared > 0) writer.feed({&one, 1}, {{random_tokens(static_cast<std::size_t>(shared), 99, config.vocabulary)}});
      std::vector<KvCache::Sequence> sequences;
      std::vector<KvCache::Sequence*> pointers;
      std::vector<std::vector<std::int32_t>> texts, next(kTickets);
      for (std::int32_t i = 0; i < kTickets; ++i) {
        sequences.push_back(beginning.fork());
        texts.push_back(random_tokens(static_cast<std::size_t>(kTicket - shared), static_cast<unsigned>(i), config.vocabulary));
      }
      for (auto& sequence : sequences) pointers.push_back(&sequence);
      const std::int32_t together = kPass / (kTicket - shared);
      for (std::int32_t first = 0; first < kTickets; first += together) {
        const auto some = static_cast<std::size_t>(std::min(together, kTickets - first)), at = static_cast<std::size_t>(first);
        const auto chosen = writer.feed(std::span(pointers).subspan(at, some), std::span(texts).subspan(at, some));
        for (std::size_t i = 0; i < some; ++i) next[at + i] = {chosen[i]};
      }
      for (std::int32_t step = 1; step < new_tokens; ++step) {
        const auto chosen = writer.feed(pointers, next);
        for (std::size_t i = 0; i < chosen.size(); ++i) next[i] = {chosen[i]};
      }
    };
    const auto rate = [&](std::int32_t shared) {
      all(4, shared);
      return kTickets / seconds_of(*on.cuda, [&] { all(kNew, shared); });
    };
    tickets = rate(0);
    sharing_tickets = rate(kShared);
  }
  fmt::print(", \"tickets64_s\": {:.2f}, \"tickets64_sharing256_s\": {:.2f}}}\n", tickets, sharing_tickets);
}

EncoderWeights random_encoder(const EncoderConfig& c, RandomWeights& random) {
  EncoderWeights weights;
  weights.words = random.matrix(c.vocabulary, c.width);
  weights.positions = Tensor(DType::kF32, {c.max_positions, c.width}, Device::kCuda);
  const auto linear = [&](std::int64_t outputs, std::int64_t inputs) {
    return Linear{.weight = random.matrix(outputs, inputs), .bias = random.vector(outputs, 0.01f)};
  };
  const auto ones = [&] { return random.vector(c.width, 1); };
  const auto zeros = [&] { return random.vector(c.width, 0); };
  weights.norm_weight = ones();
  weights.norm_bias = zeros();
  for (std::int64_t i = 0; i < c.layers; ++i)
    weights.layers.push_back({.q = linear(c.width, c.width),
                              .k = linear(c.width, c.width),
                              .v = linear(c.width, c.width),
                              .attention_out = linear(c.width, c.width),
                              .attention_norm_weight = ones(),
                              .attention_norm_bias = zeros(),
                              .up = linear(c.feed_forward, c.width),
                              .down = linear(c.width, c.feed_forward),
                              .feed_forward_norm_weight = ones(),
                              .feed_forward_norm_bias = zeros()});
  weights.owned = std::move(random.owned);
  return weights;
}

void measure_encoder(const Backend& on) {
  constexpr std::int32_t kTexts = 256, kLength = 160;
  const EncoderConfig config{.vocabulary = 30522, .width = 384, .layers = 6, .heads = 12, .feed_forward = 1536, .max_positions = 512};
  RandomWeights random(DType::kBF16);
  Encoder encoder(config, random_encoder(config, random));
  encoder.place({Device::kCuda, DType::kBF16});
  EncoderBuffers buffers = encoder.make_buffers(kTexts * kLength);
  const std::vector<std::int32_t> tokens = random_tokens(kTexts * kLength, 1, config.vocabulary);
  std::vector<std::int32_t> bounds;
  for (std::int32_t i = 0; i <= kTexts; ++i) bounds.push_back(i * kLength);
  Tensor out(DType::kF32, {kTexts, config.width}, Device::kCuda), here(DType::kF32, out.shape());
  const auto batch = [&] {
    encoder.embed(on, buffers, tokens, bounds, out);
    on.cuda->copy(here, out);
  };
  batch();
  constexpr int kBatches = 20;
  const double seconds = seconds_of(*on.cuda, [&] {
    for (int i = 0; i < kBatches; ++i) batch();
  });
  fmt::print("{{\"encoder\": \"minilm\", \"texts160_s\": {:.0f}}}\n", kBatches * kTexts / seconds);
}

}  // namespace

int main(int count, char** arguments) try {
  if (count < 2) {
    fmt::print(stderr, "usage: gpu_answering minilm|bf16|f16|q8_0|q4_0|q4_1|q5_0|q5_1|q4_k|q5_k|q6_k [LAYERS]\n");
    return 2;
  }
  const CudaDevices found = cuda_devices(1);
  if (found.devices.empty()) {
    constexpr int kSkipped = 77;
    fmt::print(stderr, "skipped, no GPU: {}\n", found.reason);
    return kSkipped;
  }
  CudaContext context;
  Workspace workspace;
  const Backend on{.kind = Backend::Kind::kCuda, .workspace = &workspace, .cuda = &context};
  if (std::string_view(arguments[1]) == "minilm") measure_encoder(on);
  for (const DType type : {DType::kBF16, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ4_K,
                           DType::kQ5_K, DType::kQ6_K})
    if (dtype_name(type) == arguments[1]) measure_decoder(on, type, count > 2 ? std::atoll(arguments[2]) : 32);
} catch (const std::exception& fault) {
  fmt::print(stderr, "{}\n", fault.what());
  return 1;
}
