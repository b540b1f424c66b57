#include "deskhand/report/words.h"

#include <doctest/doctest.h>

#include <cmath>

namespace deskhand {
namespace {

const MeasureInfo kShare{.id = "category_accuracy", .title = "Category accuracy", .unit = "%"};

TEST_CASE("what would not show or would turn the line is made visible, everything else stays") {
  CHECK(visible("Grüße, 你好 👋\n\ttab") == "Grüße, 你好 👋\n\ttab");
  CHECK(visible(std::string_view("a\x00\x1b[31mb\x7f", 9)) == "a␀␛[31mb␡");
  CHECK(visible("x\r\ny") == "x\ny");
  CHECK(visible("a\xE2\x80\xAE"
                "b\xC2\x85"
                "c") ==
        "a\xEF\xBF\xBD"
        "b\xEF\xBF\xBD"
        "c");
  SUBCASE("bytes that are no UTF-8 become U+FFFD, one each") {
    CHECK(visible("\xFF\xC0\xAF") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    CHECK(visible("\xED\xA0\x80").find("\xED\xA0\x80") == std::string::npos);  // a surrogate
    CHECK(visible("cut \xE4\xBD") == "cut \xEF\xBF\xBD\xEF\xBF\xBD");
  }
}

TEST_CASE("no text can open a tag, close an attribute or end a script") {
  CHECK(html("</script><a href=\"x\" title='y'>&amp;") == "&lt;/script&gt;&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;");
  CHECK(for_script(R"(["</script>", "<!--", "a&b", ")"
                   "\xE2\x80\xA8\xE2\x80\xA9"
                   R"("])") == R"(["\u003c/script\u003e", "\u003c!--", "a\u0026b", "\u2028\u2029"])");
  CHECK(markdown("a|b\n`c` [d](e) <f>") == "a\\|b \\`c\\` \\[d\\](e) &lt;f&gt;");
}

TEST_CASE("values are shown in their unit and never as nan or minus zero") {
  CHECK(value_text(kShare, 0.7834) == "78.3 %");
  CHECK(value_text({.unit = "0..100"}, 43.96) == "44.0");
  CHECK(value_text({.unit = ""}, 0.4664) == "0.466");
  CHECK(value_text({.unit = "levels"}, 0.517) == "0.52 levels");
  CHECK(value_text({.unit = "words"}, 41.4) == "41 words");
  CHECK(decimal(-0.0001, 2) == "0.00");
  CHECK(decimal(NAN, 2) == "not defined");
  CHECK(value_text(kShare, INFINITY) == "not defined");
  CHECK(grouped(1234567) ==
        "1\xC2\xA0"
        "234\xC2\xA0"
        "567");
  CHECK(grouped(-1234) ==
        "-1\xC2\xA0"
        "234");
  CHECK(grouped(999) == "999");
}

TEST_CASE("an estimate without a value gives its reason") {
  CHECK(estimate_text(kShare, {0.78, 0.71, 0.842, ""}) == "78.0 % (71.0 to 84.2)");
  CHECK(estimate_text(kShare, {.undefined = "one class only"}) == "not defined: one class only");
  CHECK(estimate_text(kShare, {.value = NAN}) == "not defined: the value is not finite");
  CHECK(in_words(kShare, {0.78, 0.71, 0.842, ""}) == "of 100 tickets 78 get the right category, likely 71 to 84");
  CHECK(in_words({.id = "words", .title = "Length", .unit = "words"}, {41.0, 38, 44, ""}) == "Length: 41 words, likely 38 to 44");
}

TEST_CASE("differences carry their sign and are in points where values are per cent") {
  CHECK(difference_text(kShare, 0.031) == "+3.1 points");
  CHECK(difference_text(kShare, -0.02) == "-2.0 points");
  CHECK(difference_text(kShare, 0) == "0.0 points");
  CHECK(difference_interval(kShare, {0.03, -0.02, 0.081, ""}) == "-2.0 to +8.1 points");
  CHECK(difference_interval(kShare, {.undefined = "no tickets"}) == "not defined");
  CHECK(chance_text(0.0004) == "below 0.001");
  CHECK(chance_text(std::nullopt) == "not defined");
}

TEST_CASE("texts are cut between characters") {
  CHECK(elided("Grüße", 5) == "Grüße");
  CHECK(elided("Grüße!", 5) == "Grüß…");
  CHECK(columns(pad("é", 4)) == 4);
}

}  // namespace
}  // namespace deskhand
