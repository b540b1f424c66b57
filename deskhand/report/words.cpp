#include "deskhand/report/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "deskhand/base/progress.h"

namespace deskhand {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Bytes of the well-formed character at the text's beginning (Unicode 3.9, table 3-7) and its code; 0 bytes: not well-formed.
std::pair<std::size_t, char32_t> first_character(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) { return at(i) >= low && at(i) <= high; };
  const unsigned lead = at(0);
  if (lead < 0x80) return {1, lead};
  if (lead >= 0xC2 && lead <= 0xDF && follows(1)) return {2, (lead & 0x1F) << 6 | (at(1) & 0x3F)};
  if (lead >= 0xE0 && lead <= 0xEF && follows(1, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF) && follows(2))
    return {3, (lead & 0x0F) << 12 | (at(1) & 0x3F) << 6 | (at(2) & 0x3F)};
  if (lead >= 0xF0 && lead <= 0xF4 && follows(1, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF) && follows(2) && follows(3))
    return {4, (lead & 0x07) << 18 | (at(1) & 0x3F) << 12 | (at(2) & 0x3F) << 6 | (at(3) & 0x3F)};
  return {0, 0};
}

bool turns_direction(char32_t c) {
  return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

bool is_hidden(char32_t c) {
  return (c >= 0x80 && c <= 0x9F) || turns_direction(c) || c == 0x2028 || c == 0x2029 || c == 0xFEFF || c == 0xFFFE || c == 0xFFFF;
}

template <class Write>  // write(character, its bytes)
void for_each_character(std::string_view text, Write write) {
  while (!text.empty()) {
    const auto [size, character] = first_character(text);
    write(size ? character : char32_t{0xFFFD}, size ? text.substr(0, size) : kReplacement);
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
}

std::string escape(std::string_view text, auto&& replacement) {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 16);
  for (const char c : text) {
    const std::string_view instead = replacement(c);
    if (instead.empty())
      escaped += c;
    else
      escaped += instead;
  }
  return escaped;
}

// How measures that count tickets are said in a sentence; others are said by their title.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kPhrases = {{
    {"category_accuracy", "get the right category"},
    {"urgency_accuracy", "get the right urgency"},
    {"both_accuracy", "get both urgency and category right"},
    {"token_set_above", "get a resolution that says the same in other words"},
}};

// Units of which a fraction says nothing beyond ten.
bool counts_whole(std::string_view unit) {
  return unit == "tokens" || unit == "words" || unit == "MiB";
}

std::string difference_unit(const MeasureInfo& measure) {
  if (measure.unit == "%") return " points";
  if (measure.unit == "bytes") return " MB";
  return measure.unit == "0..100" || measure.unit.empty() ? "" : " " + measure.unit;
}

}  // namespace

std::string visible(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  for_each_character(text, [&](char32_t c, std::string_view bytes) {
    if (c == '\n' || c == '\t')
      shown += bytes;
    else if (c == '\r')
      return;  // of CR LF; alone it would only overwrite a line on a terminal
    else if (c < 0x20 || c == 0x7F)
      shown += {'\xE2', '\x90', static_cast<char>(0x80 + (c == 0x7F ? 0x21 : c))};
    else
      shown += is_hidden(c) ? kReplacement : bytes;
  });
  return shown;
}

std::string html(std::string_view text) {
  return escape(visible(text), [](char c) -> std::string_view {
    switch (c) {
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return "&quot;";
      case '\'':
        return "&#39;";
      default:
        return {};
    }
  });
}

std::string markdown(std::string_view text) {
  std::string escaped;
  for (const char c : visible(text)) {
    if (c == '\n' || c == '\t') {
      escaped += ' ';
      continue;
    }
    if (std::string_view("\\`*_[]|~#!").find(c) != std::string_view::npos) escaped += '\\';
    if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else if (c == '&')
      escaped += "&amp;";
    else
      escaped += c;
  }
  return escaped;
}

std::string for_script(std::string_view json) {
  std::string escaped;
  escaped.reserve(json.size() + json.size() / 16);
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string_view three = json.substr(i, 3);
    if (json[i] == '<')
      escaped += "\\u003c";
    else if (json[i] == '>')
      escaped += "\\u003e";
    else if (json[i] == '&')
      escaped += "\\u0026";
    else if (three == "\xE2\x80\xA8" || three == "\xE2\x80\xA9")
      escaped += three.back() == '\xA8' ? "\\u2028" : "\\u2029", i += 2;
    else
      escaped += json[i];
  }
  return escaped;
}

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string elided(std::string_view text, std::size_t at_most) {
  if (columns(text) <= at_most) return std::string(text);
  std::size_t kept = 0, end = 0;
  while (end < text.size() && kept + 1 < std::max<std::size_t>(at_most, 1)) {
    ++end;
    while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
    ++kept;
  }
  while (end > 0 && text[end - 1] == ' ') --end;
  return std::string(text.substr(0, end)) + "…";
}

std::string pad(std::string_view text, std::size_t width, bool right) {
  const std::size_t length = columns(text);
  const std::string space(length < width ? width - length : 0, ' ');
  return right ? space + std::string(text) : std::string(text) + space;
}

std::string decimal(double value, int digits) {
  if (!std::isfinite(value)) return "not defined";
  const double scale = std::pow(10, digits), whole = std::floor(value * scale + 0.5);
  std::string text = fmt::format("{:.{}f}", std::isfinite(whole) ? whole / scale : value, digits);
  if (text.starts_with('-') && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

std::string grouped(std::int64_t number) {
  std::string digits = fmt::format("{}", number);
  for (std::size_t at = digits.size(); at > 3 + (number < 0 ? 1u : 0u);) digits.insert(at -= 3, "\xC2\xA0");
  return digits;
}

std::string value_text(const MeasureInfo& measure, double value, bool unit) {
  if (!std::isfinite(value)) return "not defined";
  if (measure.unit == "%") return decimal(100 * value, 1) + (unit ? " %" : "");
  if (measure.unit == "0..100") return decimal(value, 1);
  if (measure.unit.empty()) return decimal(value, 3);
  if (measure.unit == "bytes") return unit ? human_bytes(value) : decimal(value / 1e6, 0);
  const int digits = counts_whole(measure.unit) ? (std::abs(value) < 10 ? 1 : 0) : std::abs(value) < 10 ? 2 : 1;
  return decimal(value, digits) + (unit ? " " + measure.unit : "");
}

std::string interval_text(const MeasureInfo& measure, const Estimate& estimate) {
  if (!is_defined(estimate) || !std::isfinite(estimate.low) || !std::isfinite(estimate.high)) return "";
  const bool unit = measure.unit == "bytes";
  return value_text(measure, estimate.low, unit) + " to " + value_text(measure, estimate.high, unit);
}

std::string estimate_text(const MeasureInfo& measure, const Estimate& estimate) {
  if (!is_defined(estimate)) return "not defined: " + why_undefined(estimate);
  const std::string interval = interval_text(measure, estimate);
  return value_text(measure, *estimate.value) + (interval.empty() ? "" : " (" + interval + ")");
}

std::string difference_text(const MeasureInfo& measure, double difference, bool unit) {
  if (!std::isfinite(difference)) return "not defined";
  const std::string number = measure.unit == "%" ? decimal(100 * difference, 1) : value_text(measure, difference, false);
  const std::string sign = number.starts_with('-') || number.find_first_not_of("0.") == std::string::npos ? "" : "+";
  return sign + number + (unit ? difference_unit(measure) : "");
}

std::string difference_interval(const MeasureInfo& measure, const Estimate& difference) {
  if (!is_defined(difference) || !std::isfinite(difference.low) || !std::isfinite(difference.high)) return "not defined";
  return difference_text(measure, difference.low, false) + " to " + difference_text(measure, difference.high);
}

std::string chance_text(const std::optional<double>& p) {
  if (!p || !std::isfinite(*p)) return "not defined";
  return *p < 0.001 ? "below 0.001" : decimal(*p, 3);
}

bool is_defined(const Estimate& estimate) {
  return estimate.value && std::isfinite(*estimate.value);
}

std::string why_undefined(const Estimate& estimate) {
  if (!estimate.undefined.empty()) return estimate.undefined;
  return estimate.value ? "the value is not finite" : "no reason is recorded";
}

std::string in_words(const MeasureInfo& measure, const Estimate& estimate) {
  if (!is_defined(estimate)) return measure.title + " is not defined: " + why_undefined(estimate);
  const auto phrase = std::find_if(kPhrases.begin(), kPhrases.end(), [&](const auto& pair) { return pair.first == measure.id; });
  const bool counts = measure.unit == "%" && phrase != kPhrases.end();
  if (!counts) {
    const std::string interval = interval_text(measure, estimate);
    return measure.title + ": " + value_text(measure, *estimate.value) + (interval.empty() ? "" : ", likely " + interval);
  }
  const auto of_100 = [](double share) { return decimal(100 * share, 0); };
  return "of 100 tickets " + of_100(*estimate.value) + " " + std::string(phrase->second) + ", likely " + of_100(estimate.low) + " to " +
         of_100(estimate.high);
}

}  // namespace deskhand
