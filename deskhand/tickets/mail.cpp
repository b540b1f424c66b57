#include "deskhand/tickets/mail.h"

#include <algorithm>
#include <array>
#include <optional>

#include "deskhand/base/error.h"
#include "deskhand/tickets/date.h"
#include "deskhand/tickets/encoding.h"
#include "deskhand/tickets/pattern.h"

namespace deskhand {
namespace {

constexpr std::size_t kMostHeaderBytes = std::size_t{1} << 20;
constexpr int kDeepest = 16;
constexpr int kMostParts = 1000;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

std::string as_utf8(std::string_view bytes, std::string charset) {
  if (const auto star = charset.find('*'); star != charset.npos) charset.resize(star);  // RFC 2231 language
  const auto name = lower(charset);
  if (name.empty() || name == "us-ascii" || name == "ascii" || name == "utf-8" || name == "utf8" || name == "unknown-8bit") {
    auto encoding = find_encoding(bytes);
    bytes.remove_prefix(std::min(encoding.mark_bytes, bytes.size()));
    return encoding.is_clean_utf8 ? std::string(bytes) : to_utf8(bytes, encoding.name, "mail");
  }
  try {
    return to_utf8(bytes, name == "iso-8859-1" ? "windows-1252" : charset, "mail");  // as browsers do
  } catch (const Error&) {                                                           // a charset of nobody's
    return to_utf8(bytes, find_encoding(bytes).name, "mail");
  }
}

std::string decode_base64(std::string_view text, std::size_t most) {
  std::string out;
  unsigned bits = 0, held = 0;
  for (const char c : text) {
    unsigned value = 0;
    if (c >= 'A' && c <= 'Z')
      value = static_cast<unsigned>(c - 'A');
    else if (c >= 'a' && c <= 'z')
      value = static_cast<unsigned>(c - 'a') + 26;
    else if (c >= '0' && c <= '9')
      value = static_cast<unsigned>(c - '0') + 52;
    else if (c == '+' || c == '-')
      value = 62;
    else if (c == '/' || c == '_')
      value = 63;
    else if (c == '=')
      break;
    else
      continue;
    held = held << 6 | value;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(held >> bits & 0xFF);
    if (out.size() >= most) break;
  }
  return out;
}

int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Quoted-printable; in header words "_" is a space.
std::string decode_quoted(std::string_view text, bool in_header, std::size_t most) {
  std::string out;
  for (std::size_t i = 0; i < text.size() && out.size() < most; ++i) {
    if (text[i] != '=') {
      out += in_header && text[i] == '_' ? ' ' : text[i];
    } else if (i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {  // a soft line end, spaces before it allowed
      const auto end = text.find('\n', i);
      if (end != text.npos && trim(text.substr(i + 1, end - i)).empty()) {
        i = end;
      } else {
        out += '=';
      }
    }
  }
  return out;
}

// "=?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?...?=": spaces between two encoded words are none.
std::string decode_words(std::string_view text) {
  std::string out;
  std::size_t blanks_from = text.npos;  // in `out`, behind an encoded word
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i, 2) == "=?") {
      const auto charset_end = text.find('?', i + 2);
      const auto coding_end = charset_end == text.npos ? text.npos : text.find('?', charset_end + 1);
      const auto end = coding_end == text.npos ? text.npos : text.find("?=", coding_end + 1);
      if (end != text.npos && coding_end == charset_end + 2 && end - i < 4096) {
        const auto coding = text[charset_end + 1] | 0x20;
        const auto content = text.substr(coding_end + 1, end - coding_end - 1);
        if (coding == 'b' || coding == 'q') {
          if (blanks_from != text.npos) out.resize(blanks_from);
          const auto bytes = coding == 'b' ? decode_base64(content, 8192) : decode_quoted(content, true, 8192);
          out += as_utf8(bytes, std::string(text.substr(i + 2, charset_end - i - 2)));
          blanks_from = out.size();
          i = end + 2;
          continue;
        }
      }
    }
    if (blanks_from != text.npos && text[i] != ' ' && text[i] != '\t') blanks_from = text.npos;
    out += text[i++];
  }
  return out;
}

class Headers {
 public:
  // Takes the headers off the front of a message or part; what is left is the body.
  explicit Headers(std::string_view& message) {
    std::size_t at = 0;
    const auto limit = std::min(message.size(), kMostHeaderBytes);
    while (at < limit) {
      const auto end = std::min(message.find('\n', at), message.size());
      auto line = message.substr(at, end - at);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty()) {
        at = end + 1;
        break;
      }
      if (!lines_.empty() && (line.front() == ' ' || line.front() == '\t')) {
        lines_.back().second += ' ';
        lines_.back().second += trim(line);
      } else if (const auto colon = line.find(':'); colon != line.npos && line.substr(0, colon).find(' ') == line.npos) {
        lines_.emplace_back(lower(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
      } else if (lines_.empty() || line.starts_with(">From ") || line.starts_with("From ")) {
        if (!line.starts_with("From ") && !line.starts_with(">From ")) break;  // no header at all: a body
      } else {
        break;  // headers that end without an empty line
      }
      at = end + 1;
    }
    message.remove_prefix(std::min(at, message.size()));
  }

  std::string_view operator[](std::string_view name) const {
    const auto found = std::find_if(lines_.begin(), lines_.end(), [&](const auto& line) { return line.first == name; });
    return found == lines_.end() ? std::string_view() : std::string_view(found->second);
  }

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

// `text/plain; charset="utf-8"`: the value, in lower case, and a parameter.
std::string value_of(std::string_view header) {
  return lower(trim(header.substr(0, header.find(';'))));
}
std::string parameter(std::string_view header, std::string_view name) {
  for (auto at = header.find(';'); at != header.npos;) {
    ++at;
    const auto equals = header.find('=', at);
    if (equals == header.npos) return {};
    const auto key = lower(trim(header.substr(at, equals - at)));
    auto begin = equals + 1;
    while (begin < header.size() && header[begin] == ' ') ++begin;
    std::string value;
    if (begin < header.size() && header[begin] == '"') {
      auto i = begin + 1;
      for (; i < header.size() && header[i] != '"'; ++i) {
        if (header[i] == '\\' && i + 1 < header.size()) ++i;
        value += header[i];
      }
      at = header.find(';', i);
    } else {
      at = header.find(';', begin);
      value = trim(header.substr(begin, at == header.npos ? at : at - begin));
    }
    if (key == name) return value;
  }
  return {};
}

std::vector<std::string> ids_in(std::string_view header) {
  std::vector<std::string> ids;
  for (auto at = header.find('<'); at != header.npos && ids.size() < 100; at = header.find('<', at + 1)) {
    const auto end = header.find('>', at);
    if (end == header.npos) break;
    if (end > at + 1) ids.emplace_back(trim(header.substr(at + 1, end - at - 1)));
  }
  return ids;
}

std::string unescape_from(std::string text) {  // mboxrd: ">From " was "From "
  if (text.find(">From ") == text.npos) return text;
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size() - 1);
    const auto line = std::string_view(text).substr(at, end - at + 1);
    const auto mark = line.find_first_not_of('>');
    out += mark != line.npos && mark > 0 && line.substr(mark).starts_with("From ") ? line.substr(1) : line;
    at = end + 1;
  }
  return out;
}

// RFC 3676: a line that ends in a space goes on in the next.
std::string unflow(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    auto line = std::string_view(text).substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const bool quoted = line.starts_with('>');
    out += line.starts_with(' ') ? line.substr(1) : line;
    const bool next_quoted = end + 1 < text.size() && text[end + 1] == '>';
    if (!(line.ends_with(' ') && line != "-- " && quoted == next_quoted && !quoted)) out += '\n';
    at = end + 1;
  }
  return out;
}

class BodyReader {
 public:
  explicit BodyReader(Mail& mail, std::size_t most) : mail_(mail), most_(most) {}

  struct Texts {
    std::string plain, html;
    bool any() const { return !plain.empty() || !html.empty(); }
  };

  Texts read(const Headers& headers, std::string_view body, int depth) {
    const auto content = headers["content-type"];
    const auto type = content.empty() ? std::string("text/plain") : value_of(content);
    if (++parts_ > kMostParts || depth > kDeepest) return {};
    if (type.starts_with("multipart/")) {
      mail_.is_encrypted = mail_.is_encrypted || type == "multipart/encrypted";
      const auto boundary = parameter(content, "boundary");
      return boundary.empty() ? Texts{std::string(body.substr(0, most_)), ""} : multipart(type, boundary, body, depth);
    }
    const auto disposition = value_of(headers["content-disposition"]);
    if (type == "message/rfc822" && disposition != "attachment") {
      const Headers inner(body);
      return read(inner, body, depth + 1);
    }
    const bool is_text = type.starts_with("text/");
    if (!is_text || disposition == "attachment" || type == "text/calendar" || type == "text/csv") {
      mail_.is_encrypted = mail_.is_encrypted || type == "application/pkcs7-mime" || type == "application/x-pkcs7-mime";
      ++mail_.attachments;
      return {};
    }
    const auto coding = lower(trim(headers["content-transfer-encoding"]));
    auto bytes = coding == "base64"             ? decode_base64(body, most_)
                 : coding == "quoted-printable" ? decode_quoted(body, false, most_)
                                                : std::string(body.substr(0, most_));
    auto text = unescape_from(as_utf8(bytes, parameter(content, "charset")));
    if (type == "text/html") return {"", std::move(text)};
    if (lower(parameter(content, "format")) == "flowed") text = unflow(text);
    return {std::move(text), ""};
  }

 private:
  Texts multipart(const std::string& type, const std::string& boundary, std::string_view body, int depth) {
    const auto mark = "--" + boundary;
    std::vector<std::string_view> parts;
    std::size_t begin = body.npos;
    for (std::size_t at = 0; at < body.size() && parts.size() < kMostParts;) {
      const auto end = std::min(body.find('\n', at), body.size());
      const auto line = trim(body.substr(at, end - at));
      if (line.starts_with(mark) && (line.size() == mark.size() || line == mark + "--")) {
        if (begin != body.npos) parts.push_back(body.substr(begin, at - begin));
        begin = line.size() == mark.size() ? end + 1 : body.npos;
        if (begin == body.npos) break;
      }
      at = end + 1;
    }
    if (begin != body.npos && begin < body.size()) parts.push_back(body.substr(begin));  // cut before its last mark
    Texts all;
    for (auto part : parts) {
      const Headers headers(part);
      auto texts = read(headers, part, depth + 1);
      if (type == "multipart/alternative") {  // one text in several forms
        if (all.plain.empty()) all.plain = std::move(texts.plain);
        if (!texts.html.empty()) all.html = std::move(texts.html);
        continue;
      }
      for (const auto& [from, to] : {std::pair(&texts.plain, &all.plain), {&texts.html, &all.html}}) {
        if (trim(*from).empty() || to->size() + from->size() > most_) continue;
        if (!to->empty()) *to += "\n\n";
        *to += *from;
      }
    }
    return all;
  }

  Mail& mail_;
  std::size_t most_;
  int parts_ = 0;
};

Mail mail_of(const Headers& headers) {
  Mail mail;
  const auto decoded = [&](std::string_view name) { return std::string(trim(decode_words(as_utf8(headers[name], "")))); };
  mail.from = decoded("from");
  mail.to = decoded("to");
  mail.subject = decoded("subject");
  if (const auto ids = ids_in(headers["message-id"]); !ids.empty()) {
    mail.id = ids.front();
  } else {
    mail.id = trim(headers["message-id"]);
  }
  mail.refers = ids_in(headers["references"]);
  for (auto& id : ids_in(headers["in-reply-to"])) mail.refers.push_back(std::move(id));
  mail.date = read_date(headers["date"], DateOrder::kDayFirst).value_or("");
  return mail;
}

}  // namespace

Mail read_mail_headers(std::string_view message) {
  return mail_of(Headers(message));
}

Mail read_mail(std::string_view message, std::size_t most_text_bytes) {
  const Headers headers(message);
  Mail mail = mail_of(headers);
  BodyReader reader(mail, most_text_bytes);
  auto texts = reader.read(headers, message, 0);
  mail.text = trim(texts.plain).empty() ? std::move(texts.html) : std::move(texts.plain);
  return mail;
}

std::string bare_subject(std::string_view subject, bool& is_reply) {
  static const Pattern kPrefix(
      R"(\A\s*(?:(?:re|aw|antw(?:ort)?|sv|vs|rif|res|odp|fwd?|wg|tr|rv)(?:\[\d+\])?\s*:\s*|\[[^\]\n]{0,60}\]\s*))");
  static const Pattern kReply(R"(\A\s*(?:\[[^\]\n]{0,60}\]\s*)?(?:re|aw|antw(?:ort)?|sv|vs|rif|res|odp)(?:\[\d+\])?\s*:)");
  is_reply = kReply.matches(subject);
  for (int i = 0; i < 20; ++i) {
    const auto prefix = kPrefix.find(subject);
    if (!prefix || prefix->end == 0) break;
    subject.remove_prefix(prefix->end);
  }
  return lower(trim(subject));
}

std::string ticket_number_in(std::string_view subject) {
  static const Pattern kNumber(
      R"((?:\[[^\]\n0-9]{0,30}?#?\s?|##-?\s?|\b(?:ticket|case|incident|request|vorgang|fall|demande|caso)[ :#]{1,3}(?:no\.?|nr\.?)?\s?)(?=((?:[A-Z]{2,6}-?)?\d{3,15})(?:[\]\s:,#-]|\z)))");
  const auto found = kNumber.find(subject);
  if (!found) return {};
  auto end = found->end;
  while (end < subject.size() && ((subject[end] >= '0' && subject[end] <= '9') || (subject[end] >= 'A' && subject[end] <= 'Z') ||
                                  (subject[end] >= 'a' && subject[end] <= 'z') ||
                                  (subject[end] == '-' && end + 1 < subject.size() && subject[end + 1] >= '0' && subject[end + 1] <= '9')))
    ++end;
  return std::string(subject.substr(found->end, end - found->end));
}

}  // namespace deskhand
