// Texts and numbers as readers see them. Whatever comes from tickets, settings or models goes through one of these on its way out.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/evaluate/evaluation.h"

namespace deskhand {

// Valid UTF-8 whose every character shows: control characters become their pictures (U+2400...), invalid bytes, C1 controls and marks that
// turn the direction of writing become U+FFFD. Line breaks and tabs stay.
std::string visible(std::string_view text);

std::string html(std::string_view text);      // visible() with & < > " ' escaped: for element texts and quoted attributes, XML too
std::string markdown(std::string_view text);  // visible() on one line, escaped for a cell of a table

// JSON that may stand in a script file or element: < > & U+2028 and U+2029 are written \uXXXX, which is the same JSON.
std::string for_script(std::string_view json);

std::size_t columns(std::string_view text);                       // characters, not bytes
std::string elided(std::string_view text, std::size_t at_most);  // to so many characters, ending in "…"
std::string pad(std::string_view text, std::size_t width, bool right = false);

// "0.466", halves rounded up as report.js rounds them; never "-0.000", "nan" or "inf": what is not finite is "not defined".
std::string decimal(double value, int digits);
std::string grouped(std::int64_t number);  // "10 000"

// A value in its measure's unit: "78.3 %", "44.0", "0.47", "0.52 levels".
std::string value_text(const MeasureInfo& measure, double value, bool unit = true);
std::string interval_text(const MeasureInfo& measure, const Estimate& estimate);  // "71.0 to 84.2", empty where there is no value
std::string estimate_text(const MeasureInfo& measure, const Estimate& estimate);  // "78.3 % (71.0 to 84.2)", "not defined: one class only"
std::string difference_text(const MeasureInfo& measure, double difference, bool unit = true);  // "+3.1 points"
std::string difference_interval(const MeasureInfo& measure, const Estimate& difference);       // "-2.0 to +8.1 points", "not defined"
std::string chance_text(const std::optional<double>& p);                                       // "0.03", "below 0.001", "not defined"

bool is_defined(const Estimate& estimate);            // there, and finite
std::string why_undefined(const Estimate& estimate);  // never empty

// "of 100 tickets 78 get the right category, likely 71 to 84"; other measures: "Length: 41 words, likely 38 to 44".
std::string in_words(const MeasureInfo& measure, const Estimate& estimate);

}  // namespace deskhand
