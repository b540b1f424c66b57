// Files over HTTP(S): resumed where they broke off, checked against their sha256, in place only when whole.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace deskhand {

struct DownloadOptions {
  std::string sha256;                          // empty: not checked
  std::int64_t bytes = 0;                      // 0: not known
  std::map<std::string, std::string> headers;  // Authorization goes to the first host only, never to where it redirects
  bool quiet = false;                          // no progress line
  int attempts = 4;
};

// Writes `path`, through `path`.part which a later call goes on with. Throws Error(kNetwork) with what the server said, Error(kBadInput) if
// the contents have another hash (the part is removed), Error(kCannotWrite), Error(kInterrupted).
void download(const std::string& url, const std::filesystem::path& path, const DownloadOptions& options);

struct HttpReply {
  int status = 0;
  std::string body;
};
// A small document, at most 64 MB; redirects followed. Any status is returned; Error(kNetwork) only where nothing was answered.
HttpReply http_get(const std::string& url, const std::map<std::string, std::string>& headers);

}  // namespace deskhand
