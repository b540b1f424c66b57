#include "deskhand/app/vector_cache.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"

namespace deskhand {
namespace {

constexpr std::size_t kChunk = 512;  // texts embedded and kept at a time; Ctrl-C loses at most these

}  // namespace

VectorCache::VectorCache(const std::filesystem::path& file, TextEmbedder& embedder, const EncoderId& encoder, bool quiet)
    : database_(file, Database::Mode::kCreate), embedder_(embedder), encoder_(encoder.hash), quiet_(quiet) {
  database_.execute(
      "CREATE TABLE IF NOT EXISTS text_vectors(encoder TEXT NOT NULL, text TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY(encoder, "
      "text)) "
      "WITHOUT ROWID");
}

std::vector<float> VectorCache::embed(std::span<const std::string> texts) {
  const auto width = static_cast<std::size_t>(embedder_.width());
  std::vector<float> vectors(texts.size() * width);
  std::unordered_map<std::string, std::vector<std::size_t>> missing;  // by hash: the rows it fills
  std::vector<std::string> hashes, new_texts, new_hashes;
  Statement find = database_.prepare("SELECT vector FROM text_vectors WHERE encoder = ?1 AND text = ?2");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string hash = sha256(texts[i]);
    find.bind(1, encoder_).bind(2, hash);
    if (find.step() && find.blob(0).size() == width * sizeof(float)) {
      std::memcpy(&vectors[i * width], find.blob(0).data(), width * sizeof(float));
    } else {
      auto& rows = missing[hash];
      if (rows.empty()) new_texts.push_back(texts[i]), new_hashes.push_back(hash);
      rows.push_back(i);
    }
    find.reset();
  }
  Progress progress({.what = "embedding texts",
                     .unit = "texts",
                     .total = static_cast<std::int64_t>(new_texts.size()),
                     .quiet = quiet_ || new_texts.size() < kChunk});
  for (std::size_t first = 0; first < new_texts.size(); first += kChunk) {
    const auto part = std::span(new_texts).subspan(first, std::min(kChunk, new_texts.size() - first));
    const std::vector<float> made = embedder_.embed(part);
    Transaction chunk(database_);
    Statement keep = database_.prepare("INSERT OR REPLACE INTO text_vectors(encoder, text, vector) VALUES(?1, ?2, ?3)");
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto vector = std::span(made).subspan(i * width, width);
      const std::string& hash = new_hashes[first + i];
      keep.bind(1, encoder_).bind(2, hash).bind_blob(3, std::as_bytes(vector)).run();
      for (const std::size_t row : missing[hash])
        std::copy(vector.begin(), vector.end(), vectors.begin() + static_cast<std::ptrdiff_t>(row * width));
    }
    chunk.commit();
    progress.advance(static_cast<std::int64_t>(part.size()));
  }
  return vectors;
}

}  // namespace deskhand
