#include "deskhand/tickets/zip_xml.h"

#include <expat.h>
#include <zip.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr std::size_t kPieceBytes = 1 << 16;

std::string_view local(std::string_view name) {
  const auto bar = name.rfind(':');
  return bar == name.npos ? name : name.substr(bar + 1);
}

std::string plain_name(std::string name) {
  for (char& c : name) c = c == '\\' ? '/' : c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return name;
}

}  // namespace

void ZipArchive::Close::operator()(zip* archive) const noexcept {
  zip_discard(archive);
}
void ZipPart::Close::operator()(zip_file* part) const noexcept {
  zip_fclose(part);
}
void XmlReader::Free::operator()(XML_ParserStruct* parser) const noexcept {
  XML_ParserFree(parser);
}

ZipArchive::ZipArchive(const std::filesystem::path& path) : path_(path) {
  int code = 0;
  archive_.reset(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (archive_) {
    for (zip_int64_t i = 0; i < zip_get_num_entries(archive_.get(), 0); ++i) {
      const char* name = zip_get_name(archive_.get(), static_cast<zip_uint64_t>(i), 0);
      if (name && std::strchr(name, '\\')) backslashed_.emplace(plain_name(name), i);
    }
    return;
  }
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  throw Error(ExitCode::kBadInput, "{}: starts like a workbook but is cut or damaged ({}); export it again", path.string(), reason);
}

std::int64_t ZipArchive::find(const std::string& part) const {
  const auto index = zip_name_locate(archive_.get(), part.c_str(), ZIP_FL_NOCASE);
  if (index >= 0 || backslashed_.empty()) return index;
  const auto found = backslashed_.find(plain_name(part));
  return found == backslashed_.end() ? -1 : found->second;
}

ZipPart::ZipPart(const ZipArchive& archive, const std::string& name, const TableLimits& limits)
    : where_(archive.path().string() + ": part " + name), limits_(limits) {
  const auto index = archive.find(name);
  if (index < 0) throw Error(ExitCode::kBadInput, "{} is missing: the workbook is damaged; open it in Excel and save it again", where_);
  zip_stat_t stat;
  zip_stat_init(&stat);
  if (zip_stat_index(archive.handle(), static_cast<zip_uint64_t>(index), 0, &stat) != 0)
    throw Error(ExitCode::kBadInput, "{}: {}", where_, zip_strerror(archive.handle()));
  if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) && stat.encryption_method != ZIP_EM_NONE)
    throw Error(ExitCode::kBadInput, "{}: the workbook is protected by a password; remove it and save again", where_);
  packed_ = std::max<std::int64_t>(static_cast<std::int64_t>(stat.comp_size), 1);
  declared_ = std::max<std::int64_t>(static_cast<std::int64_t>(stat.size), 1);
  part_.reset(zip_fopen_index(archive.handle(), static_cast<zip_uint64_t>(index), 0));
  if (!part_) throw Error(ExitCode::kBadInput, "{}: cannot be unpacked: {}", where_, zip_strerror(archive.handle()));
}

std::size_t ZipPart::read(char* buffer, std::size_t size) {
  const auto got = zip_fread(part_.get(), buffer, size);
  if (got < 0)
    throw Error(ExitCode::kBadInput, "{}: damaged: {}; export the workbook again", where_,
                zip_error_strerror(zip_file_get_error(part_.get())));
  read_ += got;
  if (read_ > limits_.part_bytes) throw Error(ExitCode::kTooLarge, "{}: unpacks to more than {} bytes", where_, limits_.part_bytes);
  constexpr std::int64_t kSmall = std::int64_t{32} << 20;
  if (read_ > kSmall && read_ / packed_ > limits_.ratio) {
    throw Error(ExitCode::kTooLarge, "{}: {} packed bytes have become {} and more; no ticket export packs that well, so it is refused",
                where_, packed_, read_);
  }
  return static_cast<std::size_t>(got);
}

// Unpacks some blocks ahead of the parser: inflating and parsing take about the same time.
class XmlReader::ReadAhead {
 public:
  explicit ReadAhead(ZipPart& part) : thread_([this, &part] { run(part); }) {}
  ~ReadAhead() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // The next block; empty at the end. What the part threw is thrown here.
  std::string next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !blocks_.empty() || done_; });
    if (blocks_.empty()) {
      if (fault_) std::rethrow_exception(fault_);
      return {};
    }
    auto block = std::move(blocks_.front());
    blocks_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return block;
  }

 private:
  void run(ZipPart& part) {
    constexpr std::size_t kBlock = std::size_t{1} << 18, kAhead = 4;
    std::exception_ptr fault;
    try {
      for (;;) {
        std::string block(kBlock, '\0');
        std::size_t filled = 0;
        while (filled < kBlock) {
          const auto got = part.read(block.data() + filled, kBlock - filled);
          if (got == 0) break;
          filled += got;
        }
        block.resize(filled);
        if (filled == 0) break;
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return blocks_.size() < kAhead || stopped_; });
        if (stopped_) return;
        blocks_.push_back(std::move(block));
        lock.unlock();
        changed_.notify_all();
      }
    } catch (...) {
      fault = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    fault_ = fault;
    done_ = true;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> blocks_;
  std::exception_ptr fault_;
  bool done_ = false, stopped_ = false;
  std::thread thread_;  // last: it uses the others
};

double XmlReader::share_read() const {
  return std::min(1.0, static_cast<double>(parsed_) / static_cast<double>(part_.declared()));
}

XmlReader::XmlReader(ZipPart part) : part_(std::move(part)) {
  constexpr std::int64_t kLarge = std::int64_t{4} << 20;
  if (part_.declared() > kLarge) ahead_ = std::make_unique<ReadAhead>(part_);
}

void XmlReader::begin_expat() {
  parser_.reset(XML_ParserCreate(nullptr));
  if (!parser_) throw Error(ExitCode::kTooLarge, "{}: out of memory", part_.where());
  XML_SetUserData(parser_.get(), this);
  XML_SetElementHandler(
      parser_.get(), [](void* self, const char* name, const char** attributes) { static_cast<XmlReader*>(self)->start(name, attributes); },
      [](void* self, const char* name) { static_cast<XmlReader*>(self)->end(name); });
  XML_SetCharacterDataHandler(parser_.get(), [](void* self, const char* text, int length) {
    auto& reader = *static_cast<XmlReader*>(self);
    reader.guarded([&] {
      if (reader.on_text) reader.on_text({text, static_cast<std::size_t>(length)});
    });
  });
  XML_SetStartDoctypeDeclHandler(parser_.get(), [](void* self, const char*, const char*, const char*, int) {
    auto& reader = *static_cast<XmlReader*>(self);
    reader.guarded([&] { reader.refuse_document_type(); });
  });
}

void XmlReader::refuse_document_type() const {
  throw Error(ExitCode::kBadInput, "{}: declares a document type, which no spreadsheet program writes; it is refused for safety",
              part_.where());
}

XmlReader::~XmlReader() = default;

bool XmlReader::step() {
  if (finished_) return false;
  if (ahead_) {
    const auto block = ahead_->next();
    finished_ = block.empty();
    parse(block);
  } else {
    char buffer[kPieceBytes];
    const auto got = part_.read(buffer, sizeof buffer);
    finished_ = got == 0;
    parse({buffer, got});
  }
  return !finished_;
}

void XmlReader::parse(std::string_view piece) {
  if (parsed_ == 0) {  // the first
    if (XmlScanner::can_read(piece))
      scanner_ = std::make_unique<XmlScanner>(*this);
    else
      begin_expat();
  }
  parsed_ += static_cast<std::int64_t>(piece.size());
  const auto malformed = [&](std::int64_t line, std::string_view why) {
    return Error(ExitCode::kBadInput, "{}: not well-formed XML in line {}: {}; the workbook is cut or damaged, export it again",
                 part_.where(), line, why);
  };
  if (scanner_) {
    const auto outcome = scanner_->feed(piece, finished_);
    if (outcome == XmlScanner::Outcome::kDocumentType) refuse_document_type();
    if (outcome == XmlScanner::Outcome::kMalformed) throw malformed(scanner_->line(), scanner_->why());
    return;
  }
  const auto status = XML_Parse(parser_.get(), piece.data(), static_cast<int>(piece.size()), finished_);
  if (fault_) std::rethrow_exception(fault_);
  if (status != XML_STATUS_OK)
    throw malformed(static_cast<std::int64_t>(XML_GetCurrentLineNumber(parser_.get())), XML_ErrorString(XML_GetErrorCode(parser_.get())));
}

template <class Work>
void XmlReader::guarded(const Work& work) {  // no exception may cross expat's frames
  if (fault_) return;
  try {
    work();
  } catch (...) {
    fault_ = std::current_exception();
    XML_StopParser(parser_.get(), XML_FALSE);
  }
}

void XmlReader::start(const char* name, const char** attributes) {
  guarded([&] {
    if (++depth_ > kDeepest) throw Error(ExitCode::kBadInput, "{}: elements nested deeper than {}", part_.where(), kDeepest);
    attributes_.clear();
    for (const char** pair = attributes; *pair; pair += 2) attributes_.emplace_back(local(*pair), pair[1]);
    if (on_start) on_start(local(name), XmlAttributes(attributes_));
  });
}

void XmlReader::end(const char* name) {
  guarded([&] {
    --depth_;
    if (on_end) on_end(local(name));
  });
}

}  // namespace deskhand
