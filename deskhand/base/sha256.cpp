#include "deskhand/base/sha256.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  DESKHAND_ASSERT(EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) == 1, "OpenSSL has SHA-256");
}

Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  DESKHAND_ASSERT(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1, "a digest takes bytes until it is finished");
}

std::string Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  DESKHAND_ASSERT(EVP_DigestFinal_ex(context_->md, digest.data(), &size) == 1, "a digest is finished once");
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::string sha256(std::string_view bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.finish();
}

std::string sha256_of_file(const std::filesystem::path& path) {
  constexpr std::size_t kStep = std::size_t{4} << 20;
  const MappedFile file(path);
  const auto bytes = file.bytes();
  Sha256 digest;
  for (std::size_t begin = 0; begin < bytes.size(); begin += kStep) {
    const auto part = bytes.subspan(begin, std::min(kStep, bytes.size() - begin));
    digest.update({reinterpret_cast<const char*>(part.data()), part.size()});
    file.release(part);
  }
  return digest.finish();
}

}  // namespace deskhand
