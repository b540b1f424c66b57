// An encoder's vectors of texts, kept in a database by the texts' SHA-256: what was embedded once is not embedded again.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/sqlite.h"
#include "deskhand/triage/embedder.h"

namespace deskhand {

class VectorCache final : public TextEmbedder {
 public:
  // Borrows the embedder.
  VectorCache(const std::filesystem::path& file, TextEmbedder& embedder, const EncoderId& encoder, bool quiet);

  std::int64_t width() const override { return embedder_.width(); }
  std::vector<float> embed(std::span<const std::string> texts) override;

 private:
  Database database_;
  TextEmbedder& embedder_;
  std::string encoder_;  // its hash
  bool quiet_;
};

}  // namespace deskhand
