#include "deskhand/retrieve/npy.h"

#include <bit>
#include <cctype>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {
namespace {

static_assert(std::endian::native == std::endian::little, "'<f4' is written as it lies in memory");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kLargestHeader = 65536;

// Reads the header's Python dictionary, no more of the language than NumPy writes:
// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderReader {
 public:
  HeaderReader(std::string_view text, std::string path) : text_(text), path_(std::move(path)) {}

  NpyMatrix read() {
    expect('{');
    while (!take('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr" && !has_type_) {
        read_type();
      } else if (key == "fortran_order" && !has_order_) {
        read_order();
      } else if (key == "shape" && !has_shape_) {
        read_shape();
      } else {
        fail("an unknown or repeated key");
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) fail("text behind the header's closing brace");
    if (!has_type_ || !has_order_ || !has_shape_) fail("a header without descr, fortran_order or shape");
    return std::move(found_);
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw Error(ExitCode::kBadInput, "{}: {} at byte {} of the .npy header; a float32 matrix as numpy.save writes it is wanted", path_,
                what, at_);
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool take(char wanted) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!take(wanted)) fail(fmt::format("no '{}'", wanted));
  }
  std::string_view quoted() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : ' ';
    if (quote != '\'' && quote != '"') fail("no quoted text");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("a quote that is not closed");
    const auto inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return inside;
  }
  void read_type() {
    if (quoted() != "<f4") fail("a type other than '<f4'");
    has_type_ = true;
  }
  void read_order() {
    skip_space();
    if (text_.substr(at_, 5) != "False") fail("fortran_order other than False");
    at_ += 5;
    has_order_ = true;
  }
  std::int64_t number() {
    skip_space();
    std::int64_t value = 0;
    const std::size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (value > std::numeric_limits<std::int64_t>::max() / 10 - 1) fail("a dimension that is too large");
      value = value * 10 + (text_[at_] - '0');
    }
    if (at_ == begin) fail("a shape other than (rows, columns)");
    return value;
  }
  void read_shape() {
    expect('(');
    found_.rows = number();
    if (!take(',')) fail("a shape other than (rows, columns)");
    found_.columns = number();
    take(',');
    if (!take(')')) fail("a shape other than (rows, columns)");
    has_shape_ = true;
  }

  std::string_view text_;
  std::string path_;
  std::size_t at_ = 0;
  NpyMatrix found_;
  bool has_type_ = false, has_order_ = false, has_shape_ = false;
};

}  // namespace

void write_npy(const std::filesystem::path& path, std::span<const float> values, std::int64_t rows, std::int64_t columns) {
  DESKHAND_ASSERT(rows >= 0 && columns >= 0 && values.size() == static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns),
                  "(rows, columns) of values");
  std::string dictionary = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
  constexpr std::size_t kPrefix = 10;  // magic, version, length: the data then begins at a multiple of 64
  dictionary.append(63 - (kPrefix + dictionary.size()) % 64, ' ');
  dictionary += '\n';
  std::string head(kMagic);
  head += '\1';
  head += '\0';
  head += static_cast<char>(dictionary.size() & 0xFF);
  head += static_cast<char>(dictionary.size() >> 8);
  AtomicFile file(path);
  file.write(head + dictionary);
  if (!values.empty()) file.write({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  file.commit();
}

NpyMatrix read_npy(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (bytes.substr(0, kMagic.size()) != kMagic || bytes.size() < 10)
    throw Error(ExitCode::kBadInput, "{}: not a .npy file; numpy.save writes one", path.string());
  const auto byte_at = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
  const std::size_t version = byte_at(6);
  if (version != 1 && version != 2)
    throw Error(ExitCode::kBadInput, "{}: .npy version {}.{}; versions 1.0 and 2.0 can be read", path.string(), version, byte_at(7));
  const std::size_t prefix = version == 1 ? 10 : 12;
  if (bytes.size() < prefix) throw Error(ExitCode::kBadInput, "{}: the file ends inside its .npy header", path.string());
  std::size_t length = byte_at(8) | byte_at(9) << 8;
  if (version == 2) length |= byte_at(10) << 16 | byte_at(11) << 24;
  if (length > kLargestHeader || length > bytes.size() - prefix)
    throw Error(ExitCode::kBadInput, "{}: a .npy header of {} bytes in a file of {}; the file is cut or broken", path.string(), length,
                bytes.size());
  NpyMatrix matrix = HeaderReader(bytes.substr(prefix, length), path.string()).read();
  const std::size_t present = bytes.size() - prefix - length;
  const auto rows = static_cast<std::size_t>(matrix.rows), columns = static_cast<std::size_t>(matrix.columns);
  const bool fits = columns == 0 || rows <= present / sizeof(float) / columns;  // before multiplying: the product may not fit 64 bits
  if (!fits || rows * columns * sizeof(float) != present)
    throw Error(ExitCode::kBadInput, "{}: a matrix of {} x {} values of 4 bytes in {} bytes of data; the file is cut or broken",
                path.string(), matrix.rows, matrix.columns, present);
  matrix.values.resize(rows * columns);
  if (present > 0) std::memcpy(matrix.values.data(), bytes.data() + prefix + length, present);
  return matrix;
}

}  // namespace deskhand
