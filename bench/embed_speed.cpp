// embed_speed FOLDER THREADS TEXTS.txt BATCH REPEATS: texts a second through the sentence encoder, tokenising included, as
// sentence-transformers' encode counts it. One text a line. One JSON object; the first and last vector's beginning shows that both sides
// agree.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>

#include "deskhand/base/error.h"
#include "deskhand/triage/embedder.h"

using namespace deskhand;

int main(int count, char** arguments) try {
  if (count != 6) {
    fmt::print(stderr, "usage: embed_speed FOLDER THREADS TEXTS.txt BATCH REPEATS\n");
    return 2;
  }
  const std::filesystem::path folder = arguments[1];
  std::vector<std::string> texts;
  std::ifstream file(arguments[3]);
  for (std::string line; std::getline(file, line);) texts.push_back(line);
  ThreadPool pool(std::atoi(arguments[2]));
  Workspace workspace;
  const Backend backend{.kind = Backend::Kind::kCpu, .pool = &pool, .workspace = &workspace, .cpu = CpuFeatures::detect()};
  const Encoder encoder = Encoder::load(folder);
  const auto tokenizer = load_wordpiece(folder / "tokenizer.json");
  EncoderEmbedder embedder(encoder, *tokenizer, backend);
  const auto step = static_cast<std::size_t>(std::atoi(arguments[4]));
  std::vector<double> rates;
  std::vector<float> vectors;
  for (int repeat = 0; repeat <= std::atoi(arguments[5]); ++repeat) {  // the first is a warm-up
    vectors.clear();
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t begin = 0; begin < texts.size(); begin += step) {
      const auto part = embedder.embed(std::span(texts).subspan(begin, std::min(step, texts.size() - begin)));
      vectors.insert(vectors.end(), part.begin(), part.end());
    }
    if (repeat > 0)
      rates.push_back(static_cast<double>(texts.size()) / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(rates.begin(), rates.end());
  const auto width = static_cast<std::size_t>(embedder.width());
  fmt::print("{{\"texts_s\": {:.2f}, \"first\": [{:.6f}], \"last\": [{:.6f}]}}\n", rates[rates.size() / 2],
             fmt::join(std::span(vectors).first(4), ", "), fmt::join(std::span(vectors).subspan(vectors.size() - width, 4), ", "));
  return 0;
} catch (const Error& error) {
  fmt::print(stderr, "embed_speed: {}\n", error.what());
  return static_cast<int>(error.code());
}
