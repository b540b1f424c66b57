#include "deskhand/app/encoder_similarity.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <numeric>

#include "deskhand/app/engine.h"
#include "deskhand/base/json.h"

using namespace deskhand;

namespace {

struct RealEncoder {
  explicit RealEncoder(const std::filesystem::path& folder)
      : encoder(Encoder::load(folder)),
        tokenizer(load_wordpiece(folder / "tokenizer.json")),
        embedder(encoder, *tokenizer, engine.backend) {}
  Engine engine{2};
  Encoder encoder;
  std::unique_ptr<WordPiece> tokenizer;
  EncoderEmbedder embedder;
};

// Null, with the reason printed, where no encoder is installed.
std::unique_ptr<RealEncoder> real_encoder() {
  const char* models = std::getenv("DESKHAND_MODELS");
  const auto folder = std::filesystem::path(models ? models : "") / "all-minilm-l6-v2";
  if (models && std::filesystem::exists(folder)) return std::make_unique<RealEncoder>(folder);
  MESSAGE("skipped: DESKHAND_MODELS/all-minilm-l6-v2 is not there; deskhand model get all-minilm-l6-v2 brings it");
  return nullptr;
}

struct GoldenPairs {
  std::vector<TextPair> pairs;
  std::vector<std::vector<double>> scores;
};

// tools/save_golden_bert_score.py
GoldenPairs golden_pairs() {
  std::ifstream file(DESKHAND_SOURCE_DIR "/tests/golden/evaluate/bert_score.json");
  const Json saved = Json::parse(file);
  GoldenPairs golden;
  for (const Json& pair : saved.at("texts")) {
    golden.pairs.push_back({pair.at("candidate").get<std::string>(), pair.at("reference").get<std::string>()});
    golden.scores.push_back(pair.at("scores").get<std::vector<double>>());
  }
  return golden;
}

double most_off(const EncoderSimilarity& found, const std::vector<double>& wanted) {
  return std::max(
      {std::abs(found.bert_precision - wanted[0]), std::abs(found.bert_recall - wanted[1]), std::abs(found.bert_f1 - wanted[2])});
}

}  // namespace

TEST_CASE("pairs of texts have the BERTScore that the package bert-score gives with MiniLM, empty, foreign and too long ones too") {
  const auto real = real_encoder();
  if (!real) return;
  const GoldenPairs golden = golden_pairs();
  const auto found = encoder_similarity(real->embedder, real->engine.backend, golden.pairs);
  REQUIRE(found.size() == golden.pairs.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO("pair ", i, ": ", golden.pairs[i].candidate.substr(0, 60));
    CHECK(most_off(found[i], golden.scores[i]) < 2e-6);  // both encoders compute in f32, in different orders
  }
}

TEST_CASE("the cosine of a pair is that of the vectors that retrieval compares, however long the texts") {
  const auto real = real_encoder();
  if (!real) return;
  const std::vector<TextPair> pairs = golden_pairs().pairs;
  const auto found = encoder_similarity(real->embedder, real->engine.backend, pairs);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const std::string texts[] = {pairs[i].candidate, pairs[i].reference};
    const std::vector<float> vectors = real->embedder.embed(texts);
    const auto half = vectors.begin() + real->embedder.width();
    const double cosine = std::inner_product(vectors.begin(), half, half, 0.0);
    if (found[i].bert_f1 == 0)
      CHECK(found[i].cosine == 0);
    else
      CHECK(found[i].cosine == doctest::Approx(cosine).epsilon(1e-5));
  }
}

TEST_CASE("the similarity of a pair does not depend on what is compared beside it, nor on how little memory there is") {
  const auto real = real_encoder();
  if (!real) return;
  GoldenPairs golden = golden_pairs();
  for (const std::size_t i : {0, 8, 1, 6, 0}) {  // the same texts again, far apart and in other pairs
    golden.pairs.push_back({golden.pairs[i].reference, golden.pairs[2].candidate});
    golden.pairs.push_back(golden.pairs[i]);
  }
  const auto wanted = encoder_similarity(real->embedder, real->engine.backend, golden.pairs);
  const auto found = encoder_similarity(real->embedder, real->engine.backend, golden.pairs, {.pairs_at_once = 2, .kept_bytes = 40000});
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    CHECK(found[i].bert_f1 == doctest::Approx(wanted[i].bert_f1).epsilon(1e-5));
    CHECK(found[i].cosine == doctest::Approx(wanted[i].cosine).epsilon(1e-5));
  }
}

TEST_CASE("an encoder in 8 bits stays near: BERTScore within .01") {
  const auto real = real_encoder();
  if (!real) return;
  real->encoder.quantise(real->engine.backend);
  const GoldenPairs golden = golden_pairs();
  const auto found = encoder_similarity(real->embedder, real->engine.backend, golden.pairs);
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(most_off(found[i], golden.scores[i]) < 0.01);
}
