// bert_score_speed FOLDER THREADS PAIRS.jsonl PRECISION REPEATS: pairs a second through encoder_similarity, tokenising included, as
// bert-score's scorer counts it. A line of PAIRS is ["candidate", "reference"]. One JSON object with the rates' median and every pair's
// scores, so that both sides can be compared.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>

#include "deskhand/app/encoder_similarity.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"

using namespace deskhand;

int main(int count, char** arguments) try {
  if (count != 6 || std::atoi(arguments[5]) < 1) {
    fmt::print(stderr, "usage: bert_score_speed FOLDER THREADS PAIRS.jsonl PRECISION REPEATS\n");
    return 2;
  }
  const std::filesystem::path folder = arguments[1];
  std::vector<TextPair> pairs;
  std::ifstream file(arguments[3]);
  for (std::string line; std::getline(file, line);) {
    const auto pair = Json::parse(line);
    pairs.push_back({pair.at(0).get<std::string>(), pair.at(1).get<std::string>()});
  }
  ThreadPool pool(std::atoi(arguments[2]));
  Workspace workspace;
  const Backend backend{.kind = Backend::Kind::kCpu, .pool = &pool, .workspace = &workspace, .cpu = CpuFeatures::detect()};
  Encoder encoder = Encoder::load(folder);
  if (std::string_view(arguments[4]) == "int8") encoder.quantise(backend);
  const auto tokenizer = load_wordpiece(folder / "tokenizer.json");
  EncoderEmbedder embedder(encoder, *tokenizer, backend);
  std::vector<double> rates;
  std::vector<EncoderSimilarity> found;
  for (int repeat = 0; repeat <= std::atoi(arguments[5]); ++repeat) {  // the first is a warm-up
    const auto start = std::chrono::steady_clock::now();
    found = encoder_similarity(embedder, backend, pairs);
    if (repeat > 0)
      rates.push_back(static_cast<double>(pairs.size()) / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(rates.begin(), rates.end());
  const auto column = [&](double EncoderSimilarity::*member) {
    std::vector<double> values;
    for (const EncoderSimilarity& pair : found) values.push_back(pair.*member);
    return fmt::format("{:.8f}", fmt::join(values, ", "));
  };
  fmt::print("{{\"pairs_s\": {:.2f}, \"precision\": [{}], \"recall\": [{}], \"f1\": [{}], \"cosine\": [{}]}}\n", rates[rates.size() / 2],
             column(&EncoderSimilarity::bert_precision), column(&EncoderSimilarity::bert_recall), column(&EncoderSimilarity::bert_f1),
             column(&EncoderSimilarity::cosine));
  return 0;
} catch (const Error& error) {
  fmt::print(stderr, "bert_score_speed: {}\n", error.what());
  return static_cast<int>(error.code());
}
