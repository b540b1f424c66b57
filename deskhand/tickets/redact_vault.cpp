#include "deskhand/tickets/redact_vault.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/sha256.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKeyBytes = 32, kNonceBytes = 12, kTagBytes = 16;
constexpr std::string_view kCheck = "deskhand redactions 1";  // sealed in every file: tells a wrong key at once

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

void check(int ok) {
  if (ok != 1) throw Error(ExitCode::kInternal, "OpenSSL refused to encrypt or decrypt");
}

// nonce, tag, cipher text. `label` is bound to it: a record moved to another ticket does not open.
std::string seal(std::string_view key, std::string_view label, std::string_view plain) {
  std::string sealed(kNonceBytes + kTagBytes + plain.size(), '\0');
  check(RAND_bytes(bytes(sealed), kNonceBytes));
  const Cipher cipher(EVP_CIPHER_CTX_new());
  check(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes(key), bytes(sealed)));
  int length = 0;
  check(EVP_EncryptUpdate(cipher.get(), nullptr, &length, bytes(label), static_cast<int>(label.size())));
  unsigned char* out = bytes(sealed) + kNonceBytes + kTagBytes;
  check(EVP_EncryptUpdate(cipher.get(), out, &length, bytes(plain), static_cast<int>(plain.size())));
  check(EVP_EncryptFinal_ex(cipher.get(), out + length, &length));
  check(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, bytes(sealed) + kNonceBytes));
  return sealed;
}

std::optional<std::string> open(std::string_view key, std::string_view label, std::string_view sealed) {
  if (sealed.size() < kNonceBytes + kTagBytes) return std::nullopt;
  std::string plain(sealed.size() - kNonceBytes - kTagBytes, '\0');
  std::string tag(sealed.substr(kNonceBytes, kTagBytes));
  const Cipher cipher(EVP_CIPHER_CTX_new());
  check(EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes(key), bytes(sealed)));
  int length = 0;
  check(EVP_DecryptUpdate(cipher.get(), nullptr, &length, bytes(label), static_cast<int>(label.size())));
  check(EVP_DecryptUpdate(cipher.get(), bytes(plain), &length, bytes(sealed) + kNonceBytes + kTagBytes, static_cast<int>(plain.size())));
  check(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, bytes(tag)));
  if (EVP_DecryptFinal_ex(cipher.get(), bytes(plain) + length, &length) != 1) return std::nullopt;
  return plain;
}

std::string label_of(std::string_view ticket_id) {
  return sha256(fmt::format("ticket:{}", ticket_id));
}

// Nobody else may read it from its first byte on.
bool create_private(const fs::path& path) {
  const int file = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0) {
    if (errno == EEXIST) return false;
    throw Error(ExitCode::kCannotWrite, "cannot make {}: {}", path.string(), std::strerror(errno));
  }
  ::close(file);
  return true;
}

void check_private(const fs::path& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) == 0 && (about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    throw Error(ExitCode::kBadInput, "{} may be read by others; take that away first: chmod 600 {}", path.string(), path.string());
}

std::string read_key(const fs::path& path) {
  if (!fs::exists(path))
    throw Error(ExitCode::kNotFound, "there is no key {}; make one with: deskhand redact --make-key {}", path.string(), path.string());
  check_private(path);
  const std::string text = read_text_file(path, 4096);
  std::string key;
  const auto value = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  for (std::size_t i = 0; i + 1 < text.size() && key.size() < kKeyBytes; i += 2) {
    if (value(text[i]) < 0 || value(text[i + 1]) < 0) break;
    key += static_cast<char>(value(text[i]) * 16 + value(text[i + 1]));
  }
  if (key.size() != kKeyBytes || text.find_first_not_of("\r\n ", 2 * kKeyBytes) != text.npos)
    throw Error(ExitCode::kBadInput, "{} is no key: wanted are {} hexadecimal digits, as deskhand redact --make-key writes them",
                path.string(), 2 * kKeyBytes);
  return key;
}

Database open_file(const fs::path& file) {
  if (!create_private(file)) check_private(file);
  Database database(file, Database::Mode::kReadWrite);
  database.execute(
      "CREATE TABLE IF NOT EXISTS marks(label TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS key_check(only_one INTEGER PRIMARY KEY CHECK(only_one = 1), sealed BLOB NOT NULL)");
  return database;
}

std::string_view text_of(std::span<const std::byte> blob) {
  return {reinterpret_cast<const char*>(blob.data()), blob.size()};
}

}  // namespace

void RedactVault::make_key(const fs::path& key_file) {
  if (!create_private(key_file))
    throw Error(ExitCode::kCannotWrite, "{} is there already; a key that is lost cannot be made again, so none is written over",
                key_file.string());
  std::array<unsigned char, kKeyBytes> key{};
  check(RAND_bytes(key.data(), static_cast<int>(key.size())));
  std::string text;
  for (const unsigned char byte : key) text += fmt::format("{:02x}", byte);
  text += '\n';
  const int file = ::open(key_file.c_str(), O_WRONLY | O_CLOEXEC);
  const bool written = file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  if (file >= 0) ::close(file);
  if (!written) throw Error(ExitCode::kCannotWrite, "cannot write {}: {}", key_file.string(), std::strerror(errno));
}

RedactVault::RedactVault(const fs::path& file, const fs::path& key_file)
    : database_((read_key(key_file), open_file(file))), key_(read_key(key_file)) {
  auto sealed = database_.prepare("SELECT sealed FROM key_check");
  if (!sealed.step()) {
    sealed.reset();
    const std::string made = seal(key_, "check", kCheck);
    database_.prepare("INSERT INTO key_check(only_one, sealed) VALUES(1, ?1)").bind_blob(1, std::as_bytes(std::span(made))).run();
  } else if (open(key_, "check", text_of(sealed.blob(0))) != kCheck) {
    throw Error(ExitCode::kBadInput, "{} was made with another key than {}", file.string(), key_file.string());
  }
}

void RedactVault::begin() {
  transaction_.emplace(database_);
}

void RedactVault::commit() {
  if (transaction_) transaction_->commit();
  transaction_.reset();
}

void RedactVault::put(std::string_view ticket_id, const RedactMarks& marks) {
  const std::string label = label_of(ticket_id);
  if (marks.empty()) {
    database_.prepare("DELETE FROM marks WHERE label = ?1").bind(1, label).run();
    return;
  }
  Json json = Json::object();
  for (const auto& [mark, values] : marks) json[mark] = values;
  const std::string sealed = seal(key_, label, write_json(json));
  database_.prepare("INSERT OR REPLACE INTO marks(label, sealed) VALUES(?1, ?2)")
      .bind(1, label)
      .bind_blob(2, std::as_bytes(std::span(sealed)))
      .run();
}

std::optional<RedactMarks> RedactVault::find(std::string_view ticket_id) {
  const std::string label = label_of(ticket_id);
  auto row = database_.prepare("SELECT sealed FROM marks WHERE label = ?1");
  if (!row.bind(1, label).step()) return std::nullopt;
  const auto plain = open(key_, label, text_of(row.blob(0)));
  if (!plain)
    throw Error(ExitCode::kBadInput, "{}: what is kept of ticket {} was changed by somebody else and does not open",
                database_.path().string(), ticket_id);
  RedactMarks marks;
  const Json json = parse_json(*plain, database_.path().string());
  for (const auto& [mark, values] : json.items()) marks[mark] = values.get<std::vector<std::string>>();
  return marks;
}

std::int64_t RedactVault::forget(const fs::path& file, std::span<const std::string> ticket_ids) {
  if (!fs::exists(file)) return 0;
  Database database(file, Database::Mode::kReadWrite);
  std::int64_t gone = 0;
  auto drop = database.prepare("DELETE FROM marks WHERE label = ?1");
  for (const auto& id : ticket_ids) {
    drop.bind(1, label_of(id)).run();
    gone += database.changes();
  }
  database.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  return gone;
}

}  // namespace deskhand
