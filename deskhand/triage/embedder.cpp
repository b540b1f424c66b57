#include "deskhand/triage/embedder.h"

#include <algorithm>
#include <numeric>

#include "deskhand/base/interrupt.h"
#include "deskhand/base/sha256.h"
#include "deskhand/ops/dequantize.h"
#include "deskhand/ops/mean_pool.h"
#include "deskhand/tensor/cuda/context.h"

namespace deskhand {
namespace {

constexpr std::int64_t kFewestPieces = 3;  // [CLS], one piece, [SEP]: how many texts a batch can hold at most

EmbedderSettings fitted(EmbedderSettings settings, const Encoder& encoder) {
  constexpr std::int64_t kTokensOnGpu = 16384;  // fills it
  const EncoderConfig& config = encoder.config();
  const std::int64_t most = config.max_tokens > 0 ? std::min(config.max_tokens, config.max_positions) : config.max_positions;
  settings.max_pieces = static_cast<std::int32_t>(std::clamp<std::int64_t>(settings.max_pieces, kFewestPieces, most));
  settings.batch_tokens = std::max(settings.batch_tokens, encoder.device() == Device::kCpu ? config.max_positions : kTokensOnGpu);
  return settings;
}

}  // namespace

EncoderEmbedder::EncoderEmbedder(const Encoder& encoder, const WordPiece& tokenizer, const Backend& on, EmbedderSettings settings)
    : encoder_(encoder),
      tokenizer_(tokenizer),
      on_(on),
      settings_(fitted(settings, encoder)),
      buffers_(encoder.make_buffers(settings_.batch_tokens)),
      out_(DType::kF32, {settings_.batch_tokens / 2, encoder.config().width}) {}  // even an empty text has [CLS] and [SEP]

std::vector<float> EncoderEmbedder::embed(std::span<const std::string> texts) {
  const auto columns = static_cast<std::size_t>(width());
  std::vector<float> vectors(texts.size() * columns);
  read(texts, settings_.max_pieces, false, [&](std::size_t i, const EncodedText& text) {
    std::copy(text.pooled.begin(), text.pooled.end(), vectors.begin() + static_cast<std::ptrdiff_t>(i * columns));
  });
  return vectors;
}

void EncoderEmbedder::read(std::span<const std::string> texts, std::int32_t max_pieces,
                           const std::function<void(std::size_t, const EncodedText&)>& take) {
  read(texts, max_pieces, true, take);
}

// As f32, wherever and as whatever the encoder left them.
ConstView EncoderEmbedder::on_host(ConstView vectors) {
  if (vectors.device() == Device::kCpu) return vectors;
  const Tensor found = on_.cuda->to_host(vectors);
  if (vectors_.empty()) vectors_ = Tensor(DType::kF32, {settings_.batch_tokens, encoder_.config().width});
  const View wide = vectors_.view().rows(0, vectors.shape()[0]).reshaped({vectors.shape()[0], encoder_.config().width});
  dequantize(Backend{.kind = Backend::Kind::kReference}, wide, found.view().reshaped(wide.shape()));
  return wide;
}

void EncoderEmbedder::read(std::span<const std::string> texts, std::int32_t max_pieces, bool with_vectors,
                           const std::function<void(std::size_t, const EncodedText&)>& take) {
  const auto most = static_cast<std::int32_t>(std::clamp(std::int64_t{max_pieces}, kFewestPieces, encoder_.config().max_positions));
  std::vector<std::vector<std::int32_t>> pieces;
  for (const std::string& text : texts) pieces.push_back(tokenizer_.encode_for_encoder(text, most));
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return pieces[a].size() > pieces[b].size(); });

  const auto columns = static_cast<std::size_t>(width());
  std::vector<std::int32_t> tokens, bounds;
  for (std::size_t next = 0; next < order.size();) {
    check_interrupt();
    const std::size_t first = next;
    tokens.clear();
    bounds.assign(1, 0);
    while (next < order.size() && static_cast<std::int64_t>(tokens.size() + pieces[order[next]].size()) <= settings_.batch_tokens) {
      tokens.insert(tokens.end(), pieces[order[next]].begin(), pieces[order[next]].end());
      bounds.push_back(static_cast<std::int32_t>(tokens.size()));
      ++next;
    }
    const View pooled = out_.view().rows(0, static_cast<std::int64_t>(next - first));
    ConstView vectors;
    if (encoder_.device() == Device::kCpu || with_vectors) {
      const ConstView found = encoder_.token_vectors(on_, buffers_, tokens, bounds);
      vectors = on_host(found);
      mean_pool_unit(deskhand::on_host(on_), pooled, vectors, bounds);
    } else {
      encoder_.embed(on_, buffers_, tokens, bounds, pooled);
    }
    for (std::size_t i = first; i < next; ++i) {
      const std::vector<std::int32_t>& own = pieces[order[i]];
      take(order[i], {.tokens = own,
                      .vectors = vectors.empty() ? vectors : vectors.rows(bounds[i - first], static_cast<std::int64_t>(own.size())),
                      .pooled = out_.floats().subspan((i - first) * columns, columns)});
    }
  }
}

EncoderId identify_encoder(const std::filesystem::path& folder, std::string name, const EmbedderSettings& settings, bool quantised) {
  std::string parts = fmt::format("wordpiece, {} pieces, mean, unit\n", settings.max_pieces);
  if (quantised) parts += "q8_0\n";
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "sentence_bert_config.json"})
    if (std::filesystem::exists(folder / file)) parts += fmt::format("{} {}\n", file, sha256_of_file(folder / file));
  return {std::move(name), sha256(parts)};
}

}  // namespace deskhand
