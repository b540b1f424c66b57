#include "deskhand/fetch/download.h"

#include <httplib.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"

namespace deskhand {
namespace {

struct Url {
  std::string origin, path;  // "https://host:port", "/path?query"
};

Url split_url(const std::string& url) {
  const auto scheme = url.find("://");
  if (scheme == std::string::npos) throw Error(ExitCode::kUsage, "'{}' is not a URL", url);
  const auto slash = url.find('/', scheme + 3);
  if (slash == std::string::npos) return {url, "/"};
  return {url.substr(0, slash), url.substr(slash)};
}

std::string absolute(const Url& from, const std::string& location) {
  if (location.find("://") != std::string::npos) return location;
  if (location.starts_with("//")) return from.origin.substr(0, from.origin.find("://") + 1) + location;
  return location.starts_with('/') ? from.origin + location : from.origin + from.path.substr(0, from.path.rfind('/') + 1) + location;
}

httplib::Client make_client(const std::string& origin) {
  httplib::Client client(origin);
  client.set_connection_timeout(20);
  client.set_read_timeout(60);
  client.set_keep_alive(false);
  client.set_decompress(true);
  // "http://host:port", as curl reads it; hosts in no_proxy are not told apart, machines that need that set neither.
  const char* proxy = std::getenv(origin.starts_with("https") ? "https_proxy" : "http_proxy");
  if (proxy && *proxy && origin.find("127.0.0.1") == std::string::npos && origin.find("localhost") == std::string::npos) {
    std::string host = proxy;
    if (const auto at = host.find("://"); at != std::string::npos) host = host.substr(at + 3);
    while (host.ends_with('/')) host.pop_back();
    const auto colon = host.rfind(':');
    client.set_proxy(host.substr(0, colon), colon == std::string::npos ? 80 : std::atoi(host.c_str() + colon + 1));
  }
  return client;
}

httplib::Headers to_headers(const std::map<std::string, std::string>& from) {
  httplib::Headers headers{{"User-Agent", "deskhand"}};
  for (const auto& [key, value] : from) headers.emplace(key, value);
  return headers;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// One request whose body goes to `receive`; redirects are followed here so that a token is not sent to a second host.
int get_into(std::string url, std::map<std::string, std::string> headers,
             const std::function<bool(int status, const httplib::Response&)>& on_reply,
             const std::function<bool(std::string_view)>& receive) {
  for (int hop = 0; hop < 8; ++hop) {
    const Url parts = split_url(url);
    httplib::Client client = make_client(parts.origin);
    std::string location;
    int status = 0;
    const auto result = client.Get(
        parts.path.c_str(), to_headers(headers),
        [&](const httplib::Response& reply) {
          status = reply.status;
          if (is_redirect(status)) {
            location = reply.get_header_value("Location");
            return true;
          }
          return on_reply(status, reply);
        },
        [&](const char* data, std::size_t size) {
          return is_redirect(status) || receive({data, size});
        });
    if (is_redirect(status) && !location.empty()) {
      const std::string next = absolute(parts, location);
      if (split_url(next).origin != parts.origin) headers.erase("Authorization");
      url = next;
      continue;
    }
    if (!result && result.error() != httplib::Error::Canceled)
      throw Error(ExitCode::kNetwork, "{}: {}", parts.origin, httplib::to_string(result.error()));
    return status;
  }
  throw Error(ExitCode::kNetwork, "{}: more than 8 redirects", url);
}

std::int64_t size_of(const std::filesystem::path& path) {
  std::error_code failure;
  const auto size = std::filesystem::file_size(path, failure);
  return failure ? 0 : static_cast<std::int64_t>(size);
}

// Appends what is missing to `part`. Returns the HTTP status; 416 means that nothing was missing.
int fetch_rest(const std::string& url, const std::filesystem::path& part, const DownloadOptions& options, Progress& progress) {
  auto headers = options.headers;
  const std::int64_t have = size_of(part);
  if (have > 0) headers["Range"] = fmt::format("bytes={}-", have);
  headers["Accept-Encoding"] = "identity";
  std::ofstream file;
  int status = 0;
  const auto on_reply = [&](int code, const httplib::Response&) {
    status = code;
    if (code != 200 && code != 206) return true;
    file.open(part, std::ios::binary | (code == 206 ? std::ios::app : std::ios::trunc));
    if (!file) throw Error(ExitCode::kCannotWrite, "cannot write {}: {}", part.string(), std::strerror(errno));
    return true;
  };
  const auto receive = [&](std::string_view bytes) {
    if (interrupted()) return false;
    if (status != 200 && status != 206) return true;  // an error page
    if (!file.write(bytes.data(), static_cast<std::streamsize>(bytes.size())))
      throw Error(ExitCode::kCannotWrite, "cannot write {}: {}", part.string(), std::strerror(errno));
    progress.advance(static_cast<std::int64_t>(bytes.size()));
    return true;
  };
  get_into(url, headers, on_reply, receive);
  file.close();
  check_interrupt();
  return status;
}

}  // namespace

HttpReply http_get(const std::string& url, const std::map<std::string, std::string>& headers) {
  constexpr std::size_t kLimit = std::size_t{64} << 20;
  HttpReply reply;
  reply.status = get_into(
      url, headers, [](int, const httplib::Response&) { return true; },
      [&](std::string_view bytes) {
        reply.body += bytes;
        return reply.body.size() <= kLimit && !interrupted();
      });
  check_interrupt();
  return reply;
}

void download(const std::string& url, const std::filesystem::path& path, const DownloadOptions& options) {
  std::error_code failure;
  std::filesystem::create_directories(path.parent_path(), failure);
  if (failure) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", path.parent_path().string(), failure.message());
  auto part = path;
  part += ".part";
  Progress progress({.what = path.filename().string(),
                     .unit = "",
                     .total = options.bytes,
                     .already = size_of(part),
                     .kind = Progress::Unit::kBytes,
                     .quiet = options.quiet});
  for (int attempt = 1;; ++attempt) {
    try {
      if (options.bytes == 0 || size_of(part) < options.bytes) {
        const int status = fetch_rest(url, part, options, progress);
        if (status != 200 && status != 206 && status != 416) throw Error(ExitCode::kNetwork, "{} answered with status {}", url, status);
      }
      if (options.bytes > 0 && size_of(part) < options.bytes)
        throw Error(ExitCode::kNetwork, "{} ended after {} of {} bytes", url, size_of(part), options.bytes);
      break;
    } catch (const Error& error) {
      if (error.code() != ExitCode::kNetwork || attempt >= options.attempts) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(200 << attempt));
    }
  }
  if (!options.sha256.empty()) {
    if (const std::string found = sha256_of_file(part); found != options.sha256) {
      std::filesystem::remove(part);
      throw Error(ExitCode::kBadInput, "{}: sha256 is {}, wanted {}; the download was removed, try again or another source", url, found,
                  options.sha256);
    }
  }
  std::filesystem::rename(part, path, failure);
  if (failure) throw Error(ExitCode::kCannotWrite, "cannot write {}: {}", path.string(), failure.message());
}

}  // namespace deskhand
