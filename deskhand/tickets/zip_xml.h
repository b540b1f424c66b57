// What the workbook readers share: a part of a zip archive, unpacked piece by piece under limits that look at what was really read, and
// the XML in it. Document types are refused, so no entity is ever defined; elements are nested 64 deep at most.
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "deskhand/tickets/table.h"
#include "deskhand/tickets/xml_scanner.h"

struct zip;
struct zip_file;
struct XML_ParserStruct;

namespace deskhand {

class ZipArchive {
 public:
  explicit ZipArchive(const std::filesystem::path& path);  // throws Error(kBadInput)
  // Whatever its case; a few writers put backslashes between folders. Negative: there is none.
  std::int64_t find(const std::string& part) const;
  bool has(const std::string& part) const { return find(part) >= 0; }
  zip* handle() const { return archive_.get(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  struct Close {
    void operator()(zip* archive) const noexcept;
  };
  std::filesystem::path path_;
  std::unique_ptr<zip, Close> archive_;
  std::map<std::string, std::int64_t> backslashed_;  // names with backslashes as they should be, in lower case
};

class ZipPart {
 public:
  // Borrows the archive. Throws Error(kBadInput) if it is missing, damaged or encrypted.
  ZipPart(const ZipArchive& archive, const std::string& name, const TableLimits& limits);
  std::size_t read(char* buffer, std::size_t size);  // 0 at the end; throws Error(kTooLarge) for what unpacks without measure
  const std::string& where() const { return where_; }
  std::int64_t declared() const { return declared_; }  // bytes unpacked, as the archive says; at least 1

 private:
  struct Close {
    void operator()(zip_file* part) const noexcept;
  };
  std::string where_;
  TableLimits limits_;
  std::unique_ptr<zip_file, Close> part_;
  std::int64_t packed_ = 1, declared_ = 1, read_ = 0;
};

// Names are local ones: exporters choose their own prefixes, and strict workbooks another namespace. A large part is unpacked by a thread
// of its own, a little ahead; meanwhile its archive must not be read by others.
class XmlReader : public XmlEvents {
 public:
  XmlReader(const XmlReader&) = delete;  // expat holds its address
  explicit XmlReader(ZipPart part);
  ~XmlReader();
  bool step();  // parses one more piece; false when the part is at its end
  void all() {
    while (step()) {}
  }
  const std::string& where() const { return part_.where(); }
  double share_read() const;

 private:
  class ReadAhead;
  struct Free {
    void operator()(XML_ParserStruct* parser) const noexcept;
  };
  template <class Work>
  void guarded(const Work& work);
  void start(const char* name, const char** attributes);
  void end(const char* name);
  void parse(std::string_view piece);
  void begin_expat();
  [[noreturn]] void refuse_document_type() const;

  ZipPart part_;
  std::unique_ptr<ReadAhead> ahead_;  // null: the part is small
  std::int64_t parsed_ = 0;           // bytes
  std::unique_ptr<XmlScanner> scanner_;
  std::unique_ptr<XML_ParserStruct, Free> parser_;  // of what the scanner does not read
  XmlAttributes::Pairs attributes_;
  std::exception_ptr fault_;
  std::size_t depth_ = 0;
  bool finished_ = false;
};

}  // namespace deskhand
