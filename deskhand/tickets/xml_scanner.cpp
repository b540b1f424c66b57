#include "deskhand/tickets/xml_scanner.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "deskhand/base/error.h"
#include "deskhand/base/utf8.h"

namespace deskhand {
namespace {

constexpr std::size_t kMostTagBytes = std::size_t{1} << 20, kMostAttributes = 256, kMostEntityBytes = 32;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

enum : std::uint8_t { kNameStart = 1, kNameRest = 2 };
constexpr auto kNames = [] {
  std::array<std::uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' || c >= 0x80;
    const bool rest = letter || (c >= '0' && c <= '9') || c == '-' || c == '.';
    table[static_cast<std::size_t>(c)] = static_cast<std::uint8_t>((letter ? kNameStart : 0) | (rest ? kNameRest : 0));
  }
  return table;
}();
bool is_name(char c, std::uint8_t what) {
  return kNames[static_cast<unsigned char>(c)] & what;
}

std::string_view local(std::string_view name) {
  const auto colon = name.rfind(':');
  return colon == name.npos ? name : name.substr(colon + 1);
}

// Bytes of the character of XML that begins here; 0: there is none. Expects a byte of 0x80 or more.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) -> unsigned { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned c = byte(0);
  if (c < 0xC2 || c > 0xF4) return 0;
  if (c < 0xE0) return follows(1) ? 2 : 0;
  if (c < 0xF0) {
    if (!follows(1) || !follows(2) || (c == 0xE0 && byte(1) < 0xA0) || (c == 0xED && byte(1) > 0x9F)) return 0;
    return c == 0xEF && byte(1) == 0xBF && byte(2) > 0xBD ? 0 : 3;
  }
  if (!follows(1) || !follows(2) || !follows(3) || (c == 0xF0 && byte(1) < 0x90) || (c == 0xF4 && byte(1) > 0x8F)) return 0;
  return 4;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto bytes = static_cast<unsigned char>(text[i]) < 0x80 ? 1 : character(text.substr(i));
    if (bytes == 0) return false;
    i += bytes;
  }
  return true;
}

// Where the first byte is that is not a letter to be taken as it stands: a control character, a byte of 0x80 or more, '&', '>'. Line feeds
// and tabs stand for themselves. Blocks are tested as a whole: compilers make vectors of it.
std::size_t plain_length(std::string_view text) {
  const auto is_special = [](unsigned char c) {
    return static_cast<unsigned char>((c >= 0x80) | (c == '&') | (c == '>') | ((c < 0x20) & (c != '\n') & (c != '\t')));
  };
  constexpr std::size_t kBlock = 64;
  std::size_t at = 0;
  for (; at + kBlock <= text.size(); at += kBlock) {
    unsigned char any = 0;
    for (std::size_t i = 0; i < kBlock; ++i) any |= is_special(static_cast<unsigned char>(text[at + i]));
    if (any) break;
  }
  while (at < text.size() && !is_special(static_cast<unsigned char>(text[at]))) ++at;
  return at;
}

// Of "&amp;" what stands between; false: no such entity, or a character that XML does not have.
bool append_entity(std::string& out, std::string_view name) {
  constexpr std::pair<std::string_view, char> kNamed[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
  for (const auto& [known, c] : kNamed) {
    if (name != known) continue;
    out += c;
    return true;
  }
  if (!name.starts_with('#')) return false;
  name.remove_prefix(1);
  const bool is_hex = name.starts_with('x');
  if (is_hex) name.remove_prefix(1);
  std::uint32_t code = 0;
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), code, is_hex ? 16 : 10);
  if (fault != std::errc() || end != name.data() + name.size()) return false;
  const bool is_character = (code >= 0x20 && code < 0xD800) || (code >= 0xE000 && code <= 0x10FFFF && code != 0xFFFE && code != 0xFFFF) ||
                            code == '\t' || code == '\n' || code == '\r';
  if (!is_character) return false;
  append_utf8(out, code);
  return true;
}

}  // namespace

bool XmlScanner::can_read(std::string_view start) {
  if (start.starts_with("\xEF\xBB\xBF")) start.remove_prefix(3);
  if (start.size() < 4 || std::memchr(start.data(), 0, 4)) return false;
  if (!start.starts_with("<?xml") || start.size() < 6 || !is_space(start[5])) return static_cast<unsigned char>(start[0]) < 0x80;
  const auto end = start.find("?>");
  if (end == start.npos) return false;
  const auto declaration = start.substr(0, end);
  const auto at = declaration.find("encoding");
  if (at == declaration.npos) return true;
  const auto open = declaration.find_first_of("\"'", at);
  if (open == declaration.npos) return false;
  const auto close = declaration.find(declaration[open], open + 1);
  std::string name(declaration.substr(open + 1, close == declaration.npos ? 0 : close - open - 1));
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return name == "utf-8" || name == "us-ascii";
}

std::int64_t XmlScanner::line() const {
  return lines_ + 1 + std::count(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(std::min(at_, buffer_.size())), '\n');
}

XmlScanner::Outcome XmlScanner::feed(std::string_view piece, bool last) {
  lines_ += std::count(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
  buffer_.erase(0, at_);
  at_ = 0;
  buffer_ += piece;
  if (is_first_) {
    constexpr std::string_view kMark = "\xEF\xBB\xBF";
    if (!last && buffer_.size() < kMark.size()) return Outcome::kGood;
    if (buffer_.starts_with(kMark)) at_ = kMark.size();
    is_first_ = false;
  }
  for (;;) {
    const auto step = token(last);
    if (step == Step::kDone) {
      at_begin_ = false;
      continue;
    }
    if (step == Step::kFault) return is_document_type_ ? Outcome::kDocumentType : Outcome::kMalformed;
    break;
  }
  if (!last) return Outcome::kGood;
  if (!has_root_) why_ = "no element found";
  if (!starts_.empty()) why_ = "the text ends inside \"" + open_.substr(starts_.back(), 40) + "\"";
  return why_.empty() ? Outcome::kGood : Outcome::kMalformed;
}

XmlScanner::Step XmlScanner::fail(std::string why) {
  why_ = std::move(why);
  return Step::kFault;
}

XmlScanner::Step XmlScanner::wants_more(bool last) {
  return last ? fail("unclosed token") : buffer_.size() - at_ > kMostTagBytes ? fail("a tag without end") : Step::kMore;
}

// One piece of text, tag, comment or instruction. kMore: what is there is not whole.
XmlScanner::Step XmlScanner::token(bool last) {
  if (at_ == buffer_.size()) return last && (!until_.empty() || in_cdata_) ? fail("unclosed token") : Step::kMore;
  if (!until_.empty()) {  // passed over, all but what could be the beginning of its end
    const auto end = buffer_.find(until_, at_);
    if (end == std::string::npos) {
      if (last) return fail("unclosed token");
      at_ = std::max(at_, buffer_.size() - std::min(buffer_.size(), until_.size() - 1));
      return Step::kMore;
    }
    at_ = end + until_.size();
    until_ = {};
    return Step::kDone;
  }
  if (in_cdata_) {
    const auto end = buffer_.find("]]>", at_);
    if (end == std::string::npos) {
      if (last) return fail("unclosed CDATA section");
      return text(buffer_.size(), false);
    }
    if (end > at_) return text(end, true);
    at_ = end + 3;
    in_cdata_ = false;
    return Step::kDone;
  }
  if (buffer_[at_] == '<') return markup(last);
  const auto* less = static_cast<const char*>(std::memchr(buffer_.data() + at_, '<', buffer_.size() - at_));
  return text(less ? static_cast<std::size_t>(less - buffer_.data()) : buffer_.size(), less || last);
}

// Text up to `end`. is_whole: what follows there is no text; else some bytes are held back that the next piece may complete.
XmlScanner::Step XmlScanner::text(std::size_t end, bool is_whole) {
  auto limit = end;
  if (!is_whole) {
    limit = std::max(at_, end - std::min<std::size_t>(end, 3));
    for (int i = 0; i < 3 && limit > at_ && (static_cast<unsigned char>(buffer_[limit]) & 0xC0) == 0x80; ++i)
      --limit;                                                                        // no character is cut
    for (int i = 0; i < 2 && limit > at_ && buffer_[limit - 1] == ']'; ++i) --limit;  // nor "]]>"
    const auto entity = in_cdata_ || limit == at_ ? std::string::npos : buffer_.rfind('&', limit - 1);
    if (entity != std::string::npos && entity >= at_ && limit - entity < kMostEntityBytes && buffer_.find(';', entity) >= limit)
      limit = entity;
    if (limit == at_) return Step::kMore;
  }
  const auto whole = std::string_view(buffer_).substr(at_, end - at_);
  const auto raw = whole.substr(0, limit - at_);
  if (starts_.empty()) {
    if (in_cdata_ || !std::all_of(raw.begin(), raw.end(), is_space))
      return fail(has_root_ ? "junk after document element" : "not well-formed (invalid token)");
    at_ = limit;
    return Step::kDone;
  }
  if (plain_length(raw) == raw.size()) {
    if (events_.on_text) events_.on_text(raw);
  } else {
    text_.clear();
    if (!decode(raw, text_, false)) return Step::kFault;
    // "\r\n" that a piece's end parts is one line feed: the second half stays for the next call.
    if (!text_.empty() && events_.on_text) events_.on_text(text_);
    if (raw.ends_with('\r') && raw.size() < whole.size() && whole[raw.size()] == '\n') ++limit;
  }
  at_ = limit;
  return Step::kDone;
}

// Entities, line ends and characters as XML has them; false with why_ set.
bool XmlScanner::decode(std::string_view raw, std::string& out, bool in_attribute) {
  for (std::size_t i = 0; i < raw.size();) {
    const auto length = plain_length(raw.substr(i));
    out += raw.substr(i, length);
    if (in_attribute) std::replace_if(out.end() - static_cast<std::ptrdiff_t>(length), out.end(), is_space, ' ');
    i += length;
    if (i == raw.size()) break;
    const auto c = static_cast<unsigned char>(raw[i]);
    if (c >= 0x80) {
      const auto begin = i;
      while (i < raw.size() && static_cast<unsigned char>(raw[i]) >= 0x80) {
        const auto bytes = character(raw.substr(i));
        if (bytes == 0) return fail("not well-formed (invalid token)"), false;
        i += bytes;
      }
      out += raw.substr(begin, i - begin);
    } else if (c == '&' && !in_cdata_) {
      const auto close = raw.substr(i, kMostEntityBytes).find(';');
      if (close == raw.npos || !append_entity(out, raw.substr(i + 1, close - 1))) return fail("undefined entity"), false;
      i += close + 1;
    } else if (c == '\r') {
      out += in_attribute ? ' ' : '\n';
      i += 1 + (i + 1 < raw.size() && raw[i + 1] == '\n');
    } else if (c == '>' || c == '&') {
      if (c == '>' && !in_attribute && !in_cdata_ && i >= 2 && raw[i - 1] == ']' && raw[i - 2] == ']')
        return fail("not well-formed (invalid token)"), false;
      out += raw[i++];
    } else {
      return fail("not well-formed (invalid token)"), false;
    }
  }
  return true;
}

XmlScanner::Step XmlScanner::markup(bool last) {
  const auto rest = std::string_view(buffer_).substr(at_);
  if (rest.size() < 2) return wants_more(last);
  if (rest[1] == '/') return end_tag(last);
  if (rest[1] == '?') {
    if (rest.size() < 6 && !last) return Step::kMore;
    if (rest.size() < 3 || !is_name(rest[2], kNameStart)) return fail("not well-formed (invalid token)");
    if (rest.starts_with("<?xml") && rest.size() > 5 && !is_name(rest[5], kNameRest) && !at_begin_)
      return fail("XML declaration not at start of external entity");
    at_ += 2;
    until_ = "?>";
    return Step::kDone;
  }
  if (rest[1] != '!') return start_tag(last);
  constexpr std::string_view kComment = "<!--", kCdata = "<![CDATA[", kType = "<!DOCTYPE";
  if (rest.starts_with(kComment)) {
    at_ += kComment.size();
    until_ = "-->";
    return Step::kDone;
  }
  if (rest.starts_with(kCdata)) {
    if (starts_.empty()) return fail("not well-formed (invalid token)");
    at_ += kCdata.size();
    in_cdata_ = true;
    return Step::kDone;
  }
  is_document_type_ = rest.starts_with(kType);
  const bool may_be = kComment.starts_with(rest) || kCdata.starts_with(rest) || kType.starts_with(rest);
  return may_be && !is_document_type_ ? wants_more(last) : fail("not well-formed (invalid token)");
}

XmlScanner::Step XmlScanner::end_tag(bool last) {
  const auto* close = static_cast<const char*>(std::memchr(buffer_.data() + at_, '>', buffer_.size() - at_));
  if (!close) return wants_more(last);
  const auto end = static_cast<std::size_t>(close - buffer_.data());
  auto name = std::string_view(buffer_).substr(at_ + 2, end - at_ - 2);
  while (!name.empty() && is_space(name.back())) name.remove_suffix(1);
  if (starts_.empty() || name != std::string_view(open_).substr(starts_.back())) return fail("mismatched tag");
  if (events_.on_end) events_.on_end(local(name));
  open_.resize(starts_.back());
  starts_.pop_back();
  at_ = end + 1;
  return Step::kDone;
}

XmlScanner::Step XmlScanner::start_tag(bool last) {
  const std::string_view text(buffer_);
  const auto size = text.size();
  auto i = at_ + 1;
  const auto read_name = [&]() -> std::string_view {  // empty: none; i == size: perhaps not whole
    const auto begin = i;
    if (i < size && is_name(text[i], kNameStart))
      while (i < size && is_name(text[i], kNameRest)) ++i;
    return text.substr(begin, i - begin);
  };
  const auto skip_space = [&] {
    const auto begin = i;
    while (i < size && is_space(text[i])) ++i;
    return i > begin;
  };
  if (has_root_ && starts_.empty()) return fail("junk after document element");
  const auto name = read_name();
  if (i == size) return wants_more(last);
  if (name.empty() || !is_utf8(name)) return fail("not well-formed (invalid token)");
  attributes_.clear();
  whole_names_.clear();
  std::size_t decoded = 0;
  bool is_empty = false;
  for (;;) {
    const bool spaced = skip_space();
    if (i == size) return wants_more(last);
    if (text[i] == '>') break;
    if (text[i] == '/') {
      if (i + 1 == size) return wants_more(last);
      if (text[i + 1] != '>') return fail("not well-formed (invalid token)");
      is_empty = true;
      ++i;
      break;
    }
    const auto key = read_name();
    if (key.empty() || !spaced) return i == size ? wants_more(last) : fail("not well-formed (invalid token)");
    skip_space();
    if (i == size) return wants_more(last);
    if (!is_utf8(key)) return fail("not well-formed (invalid token)");
    if (text[i] != '=') return fail("not well-formed (invalid token)");
    ++i;
    skip_space();
    if (i == size) return wants_more(last);
    const char quote = text[i];
    if (quote != '"' && quote != '\'') return fail("not well-formed (invalid token)");
    const auto close = text.find(quote, i + 1);
    if (close == text.npos) return wants_more(last);
    auto value = text.substr(i + 1, close - i - 1);
    i = close + 1;
    if (value.find('<') != value.npos) return fail("not well-formed (invalid token)");
    if (plain_length(value) != value.size() || value.find_first_of("\n\t") != value.npos) {
      if (decoded_.size() < kMostAttributes) decoded_.resize(kMostAttributes);  // never again: values point into it
      if (decoded >= kMostAttributes) return fail("more than 256 attributes");
      auto& out = decoded_[decoded++];
      out.clear();
      if (!decode(value, out, true)) return Step::kFault;
      value = out;
    }
    if (std::find(whole_names_.begin(), whole_names_.end(), key) != whole_names_.end()) return fail("duplicate attribute");
    if (whole_names_.size() >= kMostAttributes) return fail("more than 256 attributes");
    whole_names_.push_back(key);
    attributes_.emplace_back(local(key), value);
  }
  if (starts_.size() >= kDeepest) return fail(fmt::format("elements nested deeper than {}", kDeepest));
  has_root_ = true;
  const auto begin = open_.size();
  open_ += name;
  starts_.push_back(begin);
  if (events_.on_start) events_.on_start(local(name), XmlAttributes(attributes_));
  if (is_empty) {
    if (events_.on_end) events_.on_end(local(name));
    open_.resize(begin);
    starts_.pop_back();
  }
  at_ = i + 1;
  return Step::kDone;
}

}  // namespace deskhand
