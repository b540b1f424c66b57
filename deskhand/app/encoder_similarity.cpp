#include "deskhand/app/encoder_similarity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include "deskhand/evaluate/bert_score.h"
#include "deskhand/ops/linear.h"

namespace deskhand {
namespace {

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

// What is kept of a text until the last pair that needs it.
struct ReadText {
  std::vector<float> vectors;     // (T, C), each of unit length
  std::vector<float> weights;     // (T): 0 for [CLS] and [SEP], else 1
  std::vector<float> pooled;      // (C) of unit length
  std::size_t next_use = kNever;  // place in the order of pairs

  bool is_read() const { return !weights.empty(); }
  bool is_empty() const { return weights.size() <= 2; }
  std::size_t bytes() const { return (vectors.size() + weights.size() + pooled.size()) * sizeof(float); }
};

struct PairOfTexts {
  std::size_t place = 0;  // among the caller's pairs
  std::size_t candidate = 0, reference = 0;
  std::size_t next_candidate = kNever, next_reference = kNever;  // where the same texts are needed again
};

ReadText keep(const EncodedText& text) {
  ReadText kept{.vectors = {text.vectors.floats().begin(), text.vectors.floats().end()},
                .pooled = {text.pooled.begin(), text.pooled.end()}};
  const std::size_t width = text.pooled.size();
  for (std::size_t first = 0; first < kept.vectors.size(); first += width) {
    const std::span<float> row = std::span(kept.vectors).subspan(first, width);
    const double squares = std::inner_product(row.begin(), row.end(), row.begin(), 0.0);
    const auto by = static_cast<float>(1 / std::sqrt(std::max(squares, 1e-24)));
    for (float& value : row) value *= by;
  }
  kept.weights.assign(text.tokens.size(), 1);
  kept.weights.front() = kept.weights.back() = 0;
  return kept;
}

// Pairs in the order of their references, so that what several systems answered to one ticket meets one copy of the truth.
std::vector<PairOfTexts> in_order(std::span<const TextPair> pairs, std::vector<const std::string*>& texts) {
  std::unordered_map<std::string_view, std::size_t> numbers;
  const auto number = [&](const std::string& text) {
    const auto [at, is_new] = numbers.emplace(text, texts.size());
    if (is_new) texts.push_back(&text);
    return at->second;
  };
  std::vector<PairOfTexts> order;
  for (std::size_t i = 0; i < pairs.size(); ++i)
    order.push_back({.place = i, .candidate = number(pairs[i].candidate), .reference = number(pairs[i].reference)});
  std::stable_sort(order.begin(), order.end(), [](const PairOfTexts& a, const PairOfTexts& b) { return a.reference < b.reference; });
  std::vector<std::size_t> next_use(texts.size(), kNever);
  for (std::size_t i = order.size(); i-- > 0;) {
    order[i].next_candidate = next_use[order[i].candidate];
    order[i].next_reference = next_use[order[i].reference];
    next_use[order[i].candidate] = next_use[order[i].reference] = i;
  }
  return order;
}

class Reader {
 public:
  Reader(EncoderEmbedder& embedder, const Backend& on, std::vector<const std::string*> texts, const EncoderSimilaritySettings& settings)
      : embedder_(embedder), on_(on), settings_(settings), texts_(std::move(texts)), read_(texts_.size()) {
    for (int worker = 0; worker < on.pool->size(); ++worker) benches_.push_back(std::make_unique<Bench>(on));
  }

  // Reads what these pairs need and is not kept.
  void read(std::span<const PairOfTexts> pairs) {
    std::vector<std::size_t> missing;
    for (const PairOfTexts& pair : pairs)
      for (const std::size_t text : {pair.candidate, pair.reference})
        if (!read_[text].is_read()) missing.push_back(text);
    std::sort(missing.begin(), missing.end());
    missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
    std::vector<std::string> texts, longer;
    for (const std::size_t text : missing) texts.push_back(*texts_[text]);
    std::vector<std::size_t> cut;  // longer than what retrieval reads: their vectors are made of less
    embedder_.read(texts, settings_.max_pieces, [&](std::size_t i, const EncodedText& text) {
      read_[missing[i]] = keep(text);
      if (static_cast<std::int64_t>(text.tokens.size()) > embedder_.settings().max_pieces) cut.push_back(i);
    });
    for (const std::size_t i : cut) longer.push_back(texts[i]);
    const std::vector<float> vectors = embedder_.embed(longer);
    const auto width = static_cast<std::size_t>(embedder_.width());
    for (std::size_t i = 0; i < cut.size(); ++i)
      std::copy_n(vectors.begin() + static_cast<std::ptrdiff_t>(i * width), width, read_[missing[cut[i]]].pooled.begin());
  }

  // Every pair by one thread: its product is too small to be shared.
  void compare(std::span<const PairOfTexts> pairs, std::span<EncoderSimilarity> found) {
    for (const PairOfTexts& pair : pairs) {
      read_[pair.candidate].next_use = pair.next_candidate;
      read_[pair.reference].next_use = pair.next_reference;
    }
    on_.pool->parallel_for(static_cast<std::int64_t>(pairs.size()), 1, [&](std::int64_t begin, std::int64_t end, int worker) {
      for (const PairOfTexts& pair : pairs.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)))
        found[pair.place] = compare(pair, *benches_[static_cast<std::size_t>(worker)]);
    });
  }

  // Keeps of these pairs' texts what is needed again, the nearest use first, as far as the memory goes.
  void forget() {
    std::vector<ReadText*> kept;
    for (ReadText& text : read_)
      if (text.is_read()) kept.push_back(&text);
    std::sort(kept.begin(), kept.end(), [](const ReadText* a, const ReadText* b) { return a->next_use < b->next_use; });
    std::size_t bytes = 0;
    for (ReadText* text : kept) {
      bytes += text->bytes();
      if (text->next_use == kNever || bytes > settings_.kept_bytes) *text = {};
    }
  }

 private:
  // What a thread compares with.
  struct Bench {
    explicit Bench(const Backend& backend) : on(backend) {
      on.pool = &pool;
      on.workspace = &workspace;
      on.compute = Compute::kF32;  // of cosines; the encoder has its own
    }
    ThreadPool pool{1};
    Workspace workspace;
    Backend on;
    std::vector<float> cosines;
  };

  EncoderSimilarity compare(const PairOfTexts& pair, Bench& at) const {
    const ReadText &candidate = read_[pair.candidate], &reference = read_[pair.reference];
    if (candidate.is_empty() || reference.is_empty()) return {};
    const auto width = embedder_.width(), rows = static_cast<std::int64_t>(candidate.weights.size()),
               columns = static_cast<std::int64_t>(reference.weights.size());
    at.cosines.resize(static_cast<std::size_t>(rows * columns));
    linear(at.on, View(at.cosines, {rows, columns}), ConstView(candidate.vectors, {rows, width}),
           ConstView(reference.vectors, {columns, width}));
    const BertScore score = bert_score(at.cosines, candidate.weights, reference.weights);
    const double cosine = std::inner_product(candidate.pooled.begin(), candidate.pooled.end(), reference.pooled.begin(), 0.0);
    return {.cosine = std::clamp(cosine, -1.0, 1.0), .bert_precision = score.precision, .bert_recall = score.recall, .bert_f1 = score.f1};
  }

  EncoderEmbedder& embedder_;
  Backend on_;
  const EncoderSimilaritySettings& settings_;
  std::vector<const std::string*> texts_;
  std::vector<ReadText> read_;
  std::vector<std::unique_ptr<Bench>> benches_;
};

}  // namespace

std::vector<EncoderSimilarity> encoder_similarity(EncoderEmbedder& embedder, const Backend& on, std::span<const TextPair> pairs,
                                                  const EncoderSimilaritySettings& settings) {
  std::vector<const std::string*> texts;
  const std::vector<PairOfTexts> order = in_order(pairs, texts);
  Reader reader(embedder, on, std::move(texts), settings);
  std::vector<EncoderSimilarity> found(pairs.size());
  for (std::size_t first = 0; first < order.size(); first += settings.pairs_at_once) {
    const auto together = std::span(order).subspan(first, std::min(settings.pairs_at_once, order.size() - first));
    reader.read(together);
    reader.compare(together, found);
    reader.forget();
  }
  return found;
}

}  // namespace deskhand
