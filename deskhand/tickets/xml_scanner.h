// XML as spreadsheet programs write it, read piece by piece: UTF-8 without a document type, in half the time that expat takes with its
// callbacks. It is as strict, but for the characters of names beyond ASCII and what stands in comments and instructions. Other encodings
// are expat's (zip_xml.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deskhand {

inline constexpr std::size_t kDeepest = 64;  // elements in elements

// Attributes of an element by local name.
class XmlAttributes {
 public:
  using Pairs = std::vector<std::pair<std::string_view, std::string_view>>;  // local name, value
  explicit XmlAttributes(const Pairs& pairs) : pairs_(pairs) {}              // borrows
  std::string_view operator[](std::string_view name) const {
    for (const auto& [key, value] : pairs_)
      if (key == name) return value;
    return {};
  }

 private:
  const Pairs& pairs_;
};

struct XmlEvents {
  std::function<void(std::string_view, const XmlAttributes&)> on_start;  // local names
  std::function<void(std::string_view)> on_end;
  std::function<void(std::string_view)> on_text;  // a text may come in several pieces
};

class XmlScanner {
 public:
  explicit XmlScanner(const XmlEvents& events) : events_(events) {}  // borrows

  enum class Outcome { kGood, kMalformed, kDocumentType };
  // `last`: nothing follows. After anything but kGood it must not be fed again. What a callback throws passes through.
  Outcome feed(std::string_view piece, bool last);
  std::int64_t line() const;                                // where it stands, from 1
  const std::string& why() const noexcept { return why_; }  // of kMalformed

  // The beginning of a document that this can read: UTF-8 by its byte order mark, its declaration, or for want of both.
  static bool can_read(std::string_view start);

 private:
  enum class Step { kDone, kMore, kFault };
  Step token(bool last);
  Step text(std::size_t end, bool is_whole);
  Step markup(bool last);
  Step start_tag(bool last);
  Step end_tag(bool last);
  bool decode(std::string_view raw, std::string& out, bool in_attribute);
  Step fail(std::string why);
  Step wants_more(bool last);

  const XmlEvents& events_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::int64_t lines_ = 0;           // in what left the buffer
  std::string open_;                 // names of open elements, one behind the other
  std::vector<std::size_t> starts_;  // of each in open_
  std::string_view until_;           // what ends the comment or instruction that is passed over; empty: none
  bool in_cdata_ = false, has_root_ = false, is_document_type_ = false;
  bool is_first_ = true, at_begin_ = true;  // nothing was read, no token was
  XmlAttributes::Pairs attributes_;
  std::vector<std::string_view> whole_names_;  // of attributes_
  std::vector<std::string> decoded_;           // values that held entities
  std::string text_, why_;
};

}  // namespace deskhand
