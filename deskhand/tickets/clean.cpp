#include "deskhand/tickets/clean.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>
#include <vector>

#include "deskhand/base/error.h"
#include "deskhand/base/utf8.h"
#include "deskhand/tickets/pattern.h"

namespace deskhand {
namespace {

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// Anything beyond punctuation: a letter, a digit, or any other script's sign.
bool has_words(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c >= 0x80 || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'); });
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string join(const std::vector<std::string_view>& lines) {
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i) text += '\n';
    text += lines[i];
  }
  return text;
}

bool any_words(const std::vector<std::string_view>& lines, std::size_t begin, std::size_t end) {
  return std::any_of(lines.begin() + static_cast<std::ptrdiff_t>(begin),
                     lines.begin() + static_cast<std::ptrdiff_t>(std::min(end, lines.size())), has_words);
}

// The entity at text[at] == '&': its text and its length in `text`, 0 if it is none.
std::pair<std::string, std::size_t> entity(std::string_view text, std::size_t at) {
  static const std::unordered_map<std::string_view, std::string_view> kNamed = {
      {"amp", "&"},    {"lt", "<"},     {"gt", ">"},     {"quot", "\""},  {"apos", "'"},   {"nbsp", " "},   {"euro", "€"},
      {"pound", "£"},  {"copy", "©"},   {"reg", "®"},    {"trade", "™"},  {"deg", "°"},    {"hellip", "…"}, {"ndash", "–"},
      {"mdash", "—"},  {"lsquo", "‘"},  {"rsquo", "’"},  {"ldquo", "“"},  {"rdquo", "”"},  {"laquo", "«"},  {"raquo", "»"},
      {"bull", "•"},   {"middot", "·"}, {"times", "×"},  {"auml", "ä"},   {"ouml", "ö"},   {"uuml", "ü"},   {"Auml", "Ä"},
      {"Ouml", "Ö"},   {"Uuml", "Ü"},   {"szlig", "ß"},  {"eacute", "é"}, {"egrave", "è"}, {"ecirc", "ê"},  {"euml", "ë"},
      {"agrave", "à"}, {"acirc", "â"},  {"aacute", "á"}, {"ccedil", "ç"}, {"icirc", "î"},  {"iuml", "ï"},   {"iacute", "í"},
      {"ocirc", "ô"},  {"oacute", "ó"}, {"ograve", "ò"}, {"ugrave", "ù"}, {"ucirc", "û"},  {"uacute", "ú"}, {"ntilde", "ñ"},
      {"Eacute", "É"}, {"Agrave", "À"}, {"Ccedil", "Ç"}, {"oelig", "œ"},  {"aring", "å"},  {"oslash", "ø"}, {"aelig", "æ"}};
  const auto end = text.find(';', at);
  if (end == text.npos || end - at > 10 || end - at < 3) return {};
  auto name = text.substr(at + 1, end - at - 1);
  if (!name.starts_with('#')) {
    const auto found = kNamed.find(name);
    return found == kNamed.end() ? std::pair<std::string, std::size_t>() : std::pair(std::string(found->second), end - at + 1);
  }
  name.remove_prefix(1);
  const bool hexadecimal = name.starts_with('x') || name.starts_with('X');
  if (hexadecimal) name.remove_prefix(1);
  unsigned code = 0;
  const auto [stop, fault] = std::from_chars(name.data(), name.data() + name.size(), code, hexadecimal ? 16 : 10);
  if (fault != std::errc() || stop != name.data() + name.size() || code == 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
    return {};
  std::string out;
  append_utf8(out, code == 0xA0 ? ' ' : code);
  return {out, end - at + 1};
}

std::string lower_name(std::string_view tag) {
  std::string name;
  for (const char c : tag) {
    const char l = static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    if ((l < 'a' || l > 'z') && (l < '0' || l > '9') && l != ':') break;
    name += l;
  }
  return name;
}

bool is_in(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Tags that are tags become line ends, list marks and quote marks or nothing; "<name>" and "a < b" stay.
std::string html_to_text(std::string_view text) {
  std::string out;
  int quotes = 0;
  const auto line_end = [&] {
    out += '\n';
    for (int i = 0; i < std::min(quotes, 8); ++i) out += "> ";
  };
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '&') {
      const auto [replacement, length] = entity(text, i);
      out += length ? replacement : "&";
      i += std::max<std::size_t>(length, 1);
      continue;
    }
    if (text[i] != '<') {
      if (text[i] == '\n' && quotes > 0) {
        line_end();
      } else {
        out += text[i];
      }
      ++i;
      continue;
    }
    if (text.substr(i, 4) == "<!--") {
      const auto end = text.find("-->", i + 4);
      i = end == text.npos ? text.size() : end + 3;
      continue;
    }
    const bool closing = i + 1 < text.size() && text[i + 1] == '/';
    const auto name = lower_name(text.substr(i + 1 + closing, 16));
    const auto end = text.find('>', i);
    const bool known =
        is_in(name, {"p",      "br",    "div",    "span",  "a",          "ul",     "ol",    "li",    "b",    "strong",   "em",
                     "i",      "u",     "s",      "pre",   "blockquote", "table",  "tr",    "td",    "th",   "html",     "body",
                     "head",   "style", "script", "img",   "h1",         "h2",     "h3",    "h4",    "h5",   "h6",       "hr",
                     "code",   "dl",    "dd",     "dt",    "video",      "source", "tbody", "thead", "col",  "colgroup", "font",
                     "center", "sup",   "sub",    "small", "kbd",        "o:p",    "title", "meta",  "link", "iframe"});
    if (!known || end == text.npos || end - i > 4000) {
      out += text[i++];
      continue;
    }
    i = end + 1;
    if (!closing && is_in(name, {"style", "script", "head", "title"})) {
      const auto close = text.find("</" + name, i);
      i = close == text.npos ? text.size() : std::min(text.find('>', close), text.size() - 1) + 1;
    } else if (name == "blockquote") {
      quotes = std::max(quotes + (closing ? -1 : 1), 0);
      line_end();
    } else if (name == "li") {
      if (!closing) {
        line_end();
        out += "- ";
      }
    } else if (is_in(name, {"td", "th"})) {
      out += ' ';
    } else if (is_in(name,
                     {"p", "br", "div", "ul", "ol", "pre", "table", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "dl", "dd", "dt"})) {
      line_end();
    }
  }
  return out;
}

// A literal "\n" is a line end unless it stands in something that looks like a path: C:\new, \\server\news.
bool unescape_lines(std::string& text) {
  if (text.find("\\n") == text.npos && text.find("\\r") == text.npos) return false;
  std::string out;
  bool changed = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 'n' || text[i + 1] == 'r');
    if (!escape) {
      out += text[i];
      continue;
    }
    const auto word = std::string_view(out).substr(out.find_last_of(" \t\n") + 1);  // npos + 1 is 0
    const char before = out.empty() ? '\n' : out.back();
    const char after = i + 2 < text.size() ? text[i + 2] : '\n';
    const bool path = word.find(":\\") != word.npos || word.find('\\') != word.npos || before == ':' ||
                      (has_words({&before, 1}) && after >= 'a' && after <= 'z');
    if (path) {
      out += text[i];
      continue;
    }
    out += '\n';
    changed = true;
    ++i;
  }
  text = std::move(out);
  return changed;
}

// Invisible signs and controls go, other spaces become spaces. Lines stay lines.
std::string normalize(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto rest = text.substr(i, 3);
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\r') {
      if (i + 1 >= text.size() || text[i + 1] != '\n') out += '\n';
    } else if (rest.starts_with("\xC2\xA0")) {
      out += ' ';
      ++i;
    } else if (rest == "\xE2\x80\x8B" || rest == "\xE2\x80\x8C" || rest == "\xE2\x80\x8D" || rest == "\xE2\x80\x8E" ||
               rest == "\xEF\xBB\xBF" || rest == "\xE2\x81\xA0") {
      i += 2;
    } else if (rest == "\xE2\x80\xAF" || rest == "\xE2\x80\x89" || rest == "\xE2\x80\xA8" || rest == "\xE2\x80\xA9") {
      out += rest[2] == '\xA8' || rest[2] == '\xA9' ? '\n' : ' ';
      i += 2;
    } else if (c == '\t') {
      out += ' ';
    } else if (c >= 0x20 ? c != 0x7F : c == '\n') {
      out += text[i];
    }
  }
  return out;
}

// One space for many, no space at a line's ends, one empty line for many, none at the ends of the text.
std::string collapse(std::string_view text) {
  std::string out;
  int line_ends = 0;
  bool space = false;
  for (const char c : text) {
    if (c == '\n') {
      ++line_ends;
    } else if (c == ' ') {
      space = true;
    } else {
      if (!out.empty()) {
        if (line_ends) {
          out.append(static_cast<std::size_t>(std::min(line_ends, 2)), '\n');
        } else if (space) {
          out += ' ';
        }
      }
      out += c;
      line_ends = 0;
      space = false;
    }
  }
  return out;
}

}  // namespace

struct Cleaner::Patterns {
  // What the desk's program writes around a text.
  Pattern description{R"(\b(?-i:DESCRIPTION):[ \t]*)"};
  Pattern received{R"(\bTICKET RECEIVED:[ \t]*[\d/.:\- T]*(?:[ap]m\b)?[ \t]*)"};
  Pattern received_line{R"(\bTICKET RECEIVED:[^\n]*)"};
  Pattern addressee{R"(^[ \t]*(?-i:TO):[^\n]{0,120}$)"};
  Pattern redacted{R"(\[REDACTED[^\]\n]*\])"};

  // Quoted mail.
  Pattern header_from{R"(^[ \t>*]*(?:from|von|de|van|da)[ \t]?:\*?[ \t]*\S)"};
  Pattern header_more{R"(^[ \t>*]*(?:sent|date|to|cc|subject|gesendet|datum|an|betreff|envoyé|à|objet|verzonden|aan|onderwerp)[ \t]?:\*?)"};
  Pattern original{
      R"(^[ \t>]*-{2,}[ \t]*(?:original message|forwarded message|ursprüngliche nachricht|weitergeleitete nachricht|message d'origine|message transféré|original appointment)[ \t]*-{2,})"};
  Pattern forwarded{R"(forwarded|weitergeleitet|transféré)"};
  Pattern wrote{
      R"(^[ \t]*(?:on|am|le|el|op)\b[^\n]{4,200}?(?:\n[^\n]{0,120}?)?\b(?:wrote|schrieb|écrit|a écrit|escribió|schreef)\b[^\n]{0,100}:[ \t]*$)"};

  // Sign-offs on a line of their own, and the last words of a text written as one paragraph.
  Pattern sign_off{
      R"(^[ \t]*(?:(?:with )?(?:kind|kindest|best|warm|warmest|many|friendly)?[ ]?regards|best wishes|yours (?:sincerely|faithfully|truly)|sincerely|cheers|(?:many |kind )?thanks(?: and (?:kind |best )?regards| in advance| again| all)?|thank you|rgds|kr|br|mit (?:freundlichen|besten|herzlichen) gr(?:ü|ue)(?:ß|ss)en|(?:freundliche|viele|liebe|beste|schöne) gr(?:ü|ue)(?:ß|ss)e|mfg|vg|(?:bien )?cordialement|(?:sincères|meilleures) salutations|bien à vous|saludos(?: cordiales)?|atentamente|atenciosamente|cordiali saluti|met vriendelijke groeten?)[ \t]*[,.!;-]*[ \t]*(?:\[REDACTED[^\]\n]*\]|<[a-z_]+>)?[ \t]*$)"};
  Pattern inline_sign_off{
      R"((?<=[.!?,;)])\s+(?:(?:with )?(?:kind|kindest|best|warm)?\s?regards\b[,.]?(?:\s+[^\s.!?]+){0,5}|(?:many )?thanks(?: in advance| again)?[,.!]*(?:\s+[^\s.!?]+){0,3})[\s.,!]*\z)"};
  Pattern thanks{R"(thanks|thank you|cheers)"};
  Pattern said{R"(^[ \t*_']*\S{1,40}[ \t*_']+(?:said|wrote|schrieb|a écrit)[ \t*_':]*$)"};  // above a quote in a forum
  Pattern redacted_line{R"(^[ \t]*\[REDACTED[^\]\n]*\][ \t]*[,.]?[ \t]*$)"};  // a name alone, with a title and a firm below it
  Pattern dashes{R"(^--[ ]?$|^_{5,}[ \t]*$)"};
  Pattern postscript{R"(^[ \t]*p\.?[ ]?s\.?[ \t]*[:.,-])"};

  // Paragraphs and lines that lawyers and telephones add.
  Pattern legal_paragraph{
      R"(if you (?:have|are) (?:received|not the intended)|intended (?:solely|only|recipient|for the)[^\n]*|this (?:e-?mail|message|communication)[^\n]{0,80}\b(?:confidential|privileged|virus)|confidentiality (?:notice|:)|diese (?:e-?mail|nachricht)[^\n]{0,60}vertraulich|nicht der (?:richtige|beabsichtigte) (?:adressat|empfänger)|ce (?:message|courriel)[^\n]{0,80}confidentiel)"};
  Pattern legal_mark{
      R"(confidential|privileged|addressee|in error|recipient|vertraulich|adressat|empfänger|confidentiel|destinataire|virus)"};
  Pattern legal_line{
      R"(registered in (?:england|scotland|wales|ireland)|(?:company|registration|reg\.?) (?:no|number)\b[^\n]{0,6}\d|registered office|\bvat (?:reg|no)[^\n]{0,15}\d|handelsregister|amtsgericht\b.*\bhrb|gesch(?:ä|ae)ftsf(?:ü|ue)hrer(?:in)?:|ust-?id|\brcs\b .*\d{3}|\bsiret\b|consider the environment|before printing|scanned (?:for viruses|by)|^[ \t]*sent from (?:my|outlook|mail)|^[ \t]*get outlook for|von meinem \w+ gesendet|gesendet von|envoyé (?:de|depuis) mon)"};

  // At the start only.
  // A line of its own: closed by a mark, or of two words more at most; weak words ("All", "Team") only with nothing behind them.
  Pattern greeting_line{
      R"(\A\s*(?:(?:hi|hello|hey|hiya|dears?|good (?:morning|afternoon|evening|day)|greetings|hallo|moin|guten (?:tag|morgen|abend)|liebe[rs]?|bonjour|bonsoir|salut|chère?s?|hola|buen[oa]s (?:días|tardes)|estimad[oa]s?|prezad[oa]s?|olá|ciao|buongiorno|gentile|beste|goedemorgen|goedendag)\b(?:[^\n.!?:;]{0,60}?[,!:;]|(?:[ ]+[^\s.,!?]+){0,2}[.-]?)|sehr geehrte\w*\b[^\n.!?:;]{0,60}?[,!:;.]?|(?:all|team|morning|afternoon|evening|madame|monsieur)(?:[ ]+(?:all|team|monsieur))?[ ]*[,!.:;-]?)[ \t]*\n)"};
  Pattern greeting_inline{
      R"(\A\s*(?:(?:hi|hello|hey|dears?|good (?:morning|afternoon|evening|day)|hallo|guten (?:tag|morgen|abend)|sehr geehrte\w*|bonjour|ciao|buongiorno)\b(?:[ ]+(?:\[[^\]\n]*\]|<\w+>|[^\s,.!?:;-]+)){0,4}[ ]*[,!](?:[ ]*-)?\s+|dears\.\s+|(?:hola|estimad[oa]s?|prezad[oa]s?|olá)\b(?:[ ]+(?:<\w+>|[^\s,.!?:;-]+)){0,6}[ ]*[,!:]\s+))"};
  Pattern greeting_team{R"(\A\s*(?:(?:hi|hello|dear)(?:[ ]+[\w\[\]<>]+)?[ ]+(?:team|all|sir|madam)\b[ ,.!]*|greetings\b[ ,.!]*))"};
  Pattern pleasantry{
      R"(\A\s*(?:i (?:really )?hope (?:that )?(?:this|the|my|you|all|everyone|your)\b[^\n.!?]{0,80}(?:well|day|week|weekend|finds you|good health)[^\n.!?]{0,30}[.!?]\s*|ich hoffe,? (?:dass )?(?:diese|es|ihnen|sie)\b[^\n.!?]{0,80}[.!?]\s*(?=\S)|hope (?:you|all|this)\b[^\n.!?]{0,60}(?:well|day|week|good)\b[^\n.!?]{0,20}[.!?]\s*))"};
  Pattern tag{
      R"(</?(?:p|br|div|span|a|ul|ol|li|b|strong|em|i|pre|blockquote|table|tr|td|html|body|img|h[1-6]|hr|font|style)\b[^<>]*>|&(?:amp|lt|gt|quot|nbsp|#\d{1,6}|#x[0-9a-f]{1,5});)"};

  bool drop_quotes(std::string& text) const;
  bool drop_signature(std::string& text) const;
  bool drop_legal(std::string& text) const;
  bool drop_greeting(std::string& text) const;
};

// What stands above a quoted mail is the answer; if nothing does, the mail was forwarded and its body is what was meant.
bool Cleaner::Patterns::drop_quotes(std::string& text) const {
  bool changed = false;
  if (const auto intro = wrote.find(text)) {
    const auto after = std::string_view(text).substr(intro->end);
    const auto next = trim(after);
    const bool above = has_words(std::string_view(text).substr(0, intro->begin));
    const bool marked = next.starts_with('>');
    text = above && !marked ? text.substr(0, intro->begin) : text.substr(0, intro->begin) + std::string(after);
    changed = true;
  }
  const auto lines = lines_of(text);
  std::vector<std::string_view> kept;
  bool kept_words = false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto line = trim(lines[i]);
    const bool rule = original.matches(line);
    std::size_t headers = 0;  // lines of a header block that starts here
    if (header_from.matches(line)) {
      for (std::size_t j = i + 1;
           j < std::min(i + 8, lines.size()) && (header_more.matches(lines[j]) || (j == i + 1 && trim(lines[j]).empty())); ++j)
        headers = j - i + 1;
    }
    if (rule || headers > 0) {
      changed = true;
      if (kept_words && !forwarded.matches(line)) break;  // an answer above: the rest is the quoted mail
      if (headers > 0) i += headers - 1;
      continue;
    }
    if (line.starts_with('>')) {
      std::size_t above = kept.size();
      while (above > 0 && trim(kept[above - 1]).empty()) --above;
      if (above > 0 && said.matches(kept[above - 1])) {
        kept.resize(above - 1);
      } else if (above > 0 && trim(kept[above - 1]).ends_with(':')) {  // announced: it belongs to the text
        while (i < lines.size() && trim(lines[i]).starts_with('>')) kept.push_back(trim(trim(lines[i++]).substr(1)));
        changed = kept_words = true;
        --i;
        continue;
      }
      changed = true;
      continue;
    }
    kept.push_back(lines[i]);
    kept_words = kept_words || has_words(line);
  }
  if (changed) text = join(kept);
  return changed;
}

bool Cleaner::Patterns::drop_signature(std::string& text) const {
  const auto lines = lines_of(text);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const bool name_alone = redacted_line.matches(lines[i]);
    if (!name_alone && !dashes.matches(lines[i]) && !sign_off.matches(lines[i])) continue;
    if (!any_words(lines, 0, i)) continue;
    std::size_t after = 0, longest = 0;
    for (std::size_t j = i + 1; j < lines.size(); ++j) {
      after += !trim(lines[j]).empty();
      longest = std::max(longest, lines[j].size());
    }
    if (name_alone && (after > 4 || longest > 70)) continue;
    if (thanks.matches(lines[i]) && (after > 6 || longest > 90)) continue;  // thanks for something, and the text goes on
    std::vector<std::string_view> kept(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(i));
    for (std::size_t j = i + 1; j < lines.size(); ++j) {
      if (!postscript.matches(lines[j])) continue;
      kept.insert(kept.end(), lines.begin() + static_cast<std::ptrdiff_t>(j), lines.end());
      break;
    }
    text = join(kept);
    return true;
  }
  if (const auto tail = inline_sign_off.find(text); tail && has_words(std::string_view(text).substr(0, tail->begin))) {
    text.resize(tail->begin);
    return true;
  }
  return false;
}

bool Cleaner::Patterns::drop_legal(std::string& text) const {
  bool changed = false;
  const auto lines = lines_of(text);
  std::vector<std::string_view> kept;
  for (std::size_t i = 0; i < lines.size();) {
    std::size_t end = i;  // of the paragraph
    while (end < lines.size() && !trim(lines[end]).empty()) ++end;
    const std::string_view paragraph(
        lines[i].data(), end > i ? static_cast<std::size_t>(lines[end - 1].data() + lines[end - 1].size() - lines[i].data()) : 0);
    if (const auto notice = legal_paragraph.find(paragraph); notice && legal_mark.matches(paragraph)) {
      changed = true;
      for (std::size_t j = i; j < end && lines[j].data() + lines[j].size() < paragraph.data() + notice->begin;
           ++j) {  // lines above it in the same block
        if (!legal_line.matches(lines[j])) kept.push_back(lines[j]);
      }
    } else {
      for (std::size_t j = i; j < end; ++j) {
        if (legal_line.matches(lines[j])) {
          changed = true;
        } else {
          kept.push_back(lines[j]);
        }
      }
    }
    if (end < lines.size()) kept.push_back({});
    i = end + 1;
  }
  if (changed) text = join(kept);
  return changed;
}

bool Cleaner::Patterns::drop_greeting(std::string& text) const {
  bool changed = false;
  for (const auto* pattern : {&greeting_line, &greeting_inline, &greeting_team, &pleasantry, &pleasantry}) {
    const auto match = pattern->find(text);
    if (!match || match->end == 0 || !has_words(std::string_view(text).substr(match->end))) continue;
    text.erase(0, match->end);
    changed = true;
  }
  return changed;
}

std::string_view name_of(CleanRule rule) {
  constexpr std::array<std::string_view, kCleanRules> kNames = {"escaped line ends", "html",         "desk marks", "quoted mail",
                                                                "signature",         "legal notice", "greeting",   "redaction marks",
                                                                "white space",       "milder rules"};
  return kNames[static_cast<std::size_t>(rule)];
}

std::string identity_of(const CleanSettings& settings) {
  std::string identity = fmt::format("clean 1, style {}", static_cast<int>(settings.style));
  const RedactSettings& redact = settings.redact;
  if (!redact.any()) return identity;
  identity += ", redact 1:";
  for (const bool on : redact.kinds) identity += on ? '1' : '0';
  for (const auto& name : redact.names) identity += "\nname " + name;
  for (const auto& word : redact.keep) identity += "\nkeep " + word;
  for (const auto& [mark, expression] : redact.patterns) identity += "\n" + mark + " " + expression;
  return identity;
}

Cleaner::Cleaner(CleanSettings settings) : style_(settings.style), patterns_(std::make_unique<Patterns>()) {
  if (settings.redact.any()) redactor_.emplace(std::move(settings.redact));
}
Cleaner::~Cleaner() = default;
Cleaner::Cleaner(Cleaner&&) noexcept = default;
Cleaner& Cleaner::operator=(Cleaner&&) noexcept = default;

std::string Cleaner::clean(std::string_view text) {
  begin_ticket();
  learn(text);
  return clean_part(text);
}

void Cleaner::begin_ticket() {
  if (redactor_) redactor_->begin_ticket();
}

void Cleaner::learn(std::string_view text) {
  if (redactor_ && !trim(text).empty()) redactor_->learn(plain(text));
}

std::string Cleaner::clean_part(std::string_view text) {
  if (trim(text).empty()) return {};
  ++counts_.texts;
  if (!redactor_) return style_ == CleanStyle::kSeed ? seed(text) : full(text);
  // Marks first: a signature that is cut was seen, and what is cut needs no second look.
  const std::string redacted = redactor_->redact(plain(text));
  return style_ == CleanStyle::kSeed ? seed(redacted) : full(redacted);
}

std::string Cleaner::redact(std::string_view text) {
  if (!redactor_ || trim(text).empty()) return std::string(text);
  return redactor_->redact(plain(text));
}

// Without markup and escapes, which could hide a name; nothing is cut.
std::string Cleaner::plain(std::string_view original) const {
  std::string text(original);
  unescape_lines(text);
  if (patterns_->tag.matches(text)) text = html_to_text(text);
  return normalize(text);
}

std::string Cleaner::seed(std::string_view original) {
  const auto count = [&](CleanRule rule, bool changed) { counts_.changed[static_cast<std::size_t>(rule)] += changed; };
  std::string text(original);
  bool marks = patterns_->received_line.replace_all(text, " ");
  marks |= patterns_->addressee.replace_all(text, " ");
  marks |= patterns_->description.replace_all(text, " ");
  count(CleanRule::kDeskMarks, marks);
  count(CleanRule::kRedaction, patterns_->redacted.replace_all(text, " "));
  auto line = one_line(text);
  count(CleanRule::kSpace, line.size() != text.size());
  if (has_words(line) || !has_words(original)) return line;
  count(CleanRule::kMilder, true);
  return one_line(original);
}

std::string Cleaner::full(std::string_view original) {
  const auto& rules = *patterns_;
  const auto count = [&](CleanRule rule, bool changed) { counts_.changed[static_cast<std::size_t>(rule)] += changed; };

  std::string text(original);
  count(CleanRule::kEscapes, unescape_lines(text));
  const bool html = rules.tag.matches(text);
  if (html) text = html_to_text(text);
  count(CleanRule::kHtml, html);
  text = normalize(text);
  const std::string plain = text;  // nothing but its form was touched so far

  bool marks = rules.received.replace_all(text, "");
  marks |= rules.addressee.replace_all(text, "");
  marks |= rules.description.replace_all(text, "");
  count(CleanRule::kDeskMarks, marks);
  const std::string unmarked = text;

  // Each cut is taken back if it would leave nothing: a mail that is all quote is its quote.
  bool milder = false;
  const auto apply = [&](CleanRule rule, auto&& cut) {
    std::string shorter = text;
    if (!cut(shorter)) return;
    std::string marks_gone = shorter;
    rules.redacted.replace_all(marks_gone, "");
    if (!has_words(marks_gone)) {
      milder = true;
      return;
    }
    count(rule, true);
    text = std::move(shorter);
  };
  apply(CleanRule::kQuotedMail, [&](std::string& t) { return rules.drop_quotes(t); });
  apply(CleanRule::kSignature, [&](std::string& t) { return rules.drop_signature(t); });
  apply(CleanRule::kLegalNotice, [&](std::string& t) { return rules.drop_legal(t); });
  apply(CleanRule::kGreeting, [&](std::string& t) { return rules.drop_greeting(t); });
  apply(CleanRule::kRedaction, [&](std::string& t) { return rules.redacted.replace_all(t, ""); });

  auto cleaned = collapse(text);
  for (const auto* fallback : {&unmarked, &plain}) {
    if (has_words(cleaned) || !has_words(*fallback)) continue;
    milder = true;
    cleaned = collapse(*fallback);
  }
  if (cleaned.empty()) cleaned = one_line(original);  // punctuation alone, or tags alone: as it was
  count(CleanRule::kSpace, cleaned.size() != text.size());
  count(CleanRule::kMilder, milder);
  return cleaned;
}

std::string clean_text(std::string_view text) {
  return Cleaner(CleanStyle::kFull).clean(text);
}
std::string seed_clean(std::string_view text) {
  return Cleaner(CleanStyle::kSeed).clean(text);
}

std::string one_line(std::string_view text) {
  std::string out = normalize(text);
  std::replace(out.begin(), out.end(), '\n', ' ');
  return collapse(out);
}

}  // namespace deskhand
