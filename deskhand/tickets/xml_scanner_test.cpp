#include "deskhand/tickets/xml_scanner.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

#include "deskhand/base/error.h"
#include "tests/xml_told.h"

using namespace deskhand;
using namespace deskhand::told;

namespace {

const std::string kDocument =
    "\xEF\xBB\xBF<?xml version='1.0' encoding='UTF-8'?>\r\n<!-- a > comment - - -->\n<x:sheet xmlns:x=\"urn:a\" xmlns='urn:b'><?go on?>\r\n"
    "<x:row r = '1' s=\"a&amp;b&#10;c\n\td\r\ne\"><c r='&lt;Größe>'/>one &amp; two &#x20AC;&#8364; \r\n three\rfour Größe \xF0\x9F\x96\xA8 "
    "]] ] > x"
    "<![CDATA[ <raw> & ]] ]]]><v/><v>1</v ><v\n>2</v\n></x:row></x:sheet>\n<!-- end --> \n<?last?>";

const std::string kWithoutComments =
    "<x:sheet xmlns:x=\"urn:a\" xmlns='urn:b'>\r\n<x:row r = '1' s=\"a&amp;b&#10;c\n\td\r\ne\"><c r='&lt;Größe>'/>one &amp; two "
    "&#x20AC;&#8364; \r\n three\rfour "
    "Größe \xF0\x9F\x96\xA8 ]] ] > x<![CDATA[ <raw> & ]] ]]]><v/><v>1</v ><v\n>2</v\n></x:row></x:sheet>\n";

}  // namespace

TEST_CASE("the scanner tells what expat tells, wherever its pieces are cut") {
  const auto wanted = expat(kDocument);
  REQUIRE(wanted.is_good);
  CHECK(wanted.events.find("four Größe") != std::string::npos);
  for (std::size_t piece = 1; piece <= kDocument.size(); ++piece) {
    const auto told = scan(kDocument, piece);
    CAPTURE(piece);
    REQUIRE(told.is_good);
    REQUIRE(told.events == wanted.events);
  }
}

TEST_CASE("what expat refuses the scanner refuses, wherever its pieces are cut") {
  for (const std::string_view bad : {"",
                                     " ",
                                     "text",
                                     "<a>",
                                     "<a></b>",
                                     "<a/><b/>",
                                     "<a/>x",
                                     "<a b>",
                                     "<a b=c/>",
                                     "<a b='1' b='1'/>",
                                     "<a b='1'c='2'/>",
                                     "<a b='<'/>",
                                     "<a>&none;</a>",
                                     "<a>& </a>",
                                     "<a>&#0;</a>",
                                     "<a>&#xD800;</a>",
                                     "<a>&#x110000;</a>",
                                     "<a>]]></a>",
                                     "<a>xyz]]>abcdefgh</a>",
                                     "<a>\x01</a>",
                                     "<a>\xC3</a>",
                                     "<a>\xC0\x80</a>",
                                     "<a>\xED\xA0\x80</a>",
                                     "<a>\xF5\x80\x80\x80</a>",
                                     "<a>\xEF\xBF\xBE</a>",
                                     "<a><![CDATA[x</a>",
                                     "<a><!-- x</a>",
                                     "<a <b/>",
                                     "<1/>",
                                     "< a/>",
                                     "<a/ >",
                                     "</a>",
                                     "<a>&amp</a>",
                                     "<![CDATA[x]]><a/>",
                                     "<a><!ELEMENT b></a>",
                                     "<a><?xml version='1.0'?></a>",
                                     "<a",
                                     "<a b='",
                                     "<a>&",
                                     "<a>x<"}) {
    CAPTURE(bad);
    REQUIRE_FALSE(expat(bad).is_good);
    for (std::size_t piece = 1; piece <= bad.size() + 1; ++piece) CHECK_FALSE(scan(bad, piece).is_good);
  }
}

TEST_CASE("a document changed at random is told alike by both, or refused by both") {
  std::mt19937 draw(42);
  const std::string pool = "<>&;'\"=/!?-[] \t\r\n:abrs1#x\xC3\xB6\xE2";
  int good = 0;
  for (int round = 0; round < 60000; ++round) {
    std::string document = round % 3 ? kWithoutComments : kDocument;
    const auto changes = draw() % 3 + 1;
    for (unsigned i = 0; i < changes; ++i) {
      const auto at = draw() % document.size();
      const char c = pool[draw() % pool.size()];
      if (draw() % 3 == 0)
        document.erase(at, draw() % 8 + 1);
      else if (draw() % 2)
        document.insert(at, 1, c);
      else
        document[at] = c;
    }
    if (!XmlScanner::can_read(document) || document.find("<!D") != document.npos) continue;
    const auto wanted = expat(document);
    const auto told = scan(document, draw() % 40 + 1);
    if (!wanted.is_good && told.is_good) {  // comments and instructions are not looked into
      const bool is_lenient = document.find("<!--") != document.npos || document.find("<?") != document.npos;
      CHECK_MESSAGE(is_lenient, document);
      continue;
    }
    CAPTURE(document);
    REQUIRE(told.is_good == wanted.is_good);
    if (told.is_good) REQUIRE(told.events == wanted.events);
    good += told.is_good;
  }
  CHECK(good > 1000);
}

TEST_CASE("encodings that are not UTF-8 are left to expat, document types refused, and depth and tags bounded") {
  CHECK(XmlScanner::can_read("<?xml version='1.0' encoding=\"utf-8\"?><a/>"));
  CHECK(XmlScanner::can_read("\xEF\xBB\xBF<a/>"));
  CHECK_FALSE(XmlScanner::can_read("<?xml version='1.0' encoding='ISO-8859-1'?><a/>"));
  CHECK_FALSE(XmlScanner::can_read(std::string_view("\xFF\xFE<\0", 4)));
  CHECK_FALSE(XmlScanner::can_read(std::string_view("<\0a\0", 4)));
  CHECK_FALSE(XmlScanner::can_read("<?xml version='1.0' encoding="));
  const XmlEvents none;
  XmlScanner typed(none);
  CHECK(typed.feed("<?xml version='1.0'?>\n<!DOCTYPE a [", false) == XmlScanner::Outcome::kDocumentType);
  XmlScanner deep(none);
  std::string nested;
  for (int i = 0; i < 65; ++i) nested += "<a>\n";
  CHECK(deep.feed(nested, false) == XmlScanner::Outcome::kMalformed);
  CHECK(deep.why() == "elements nested deeper than 64");
  CHECK(deep.line() == 65);
  XmlScanner endless(none);
  CHECK(endless.feed("<a b='" + std::string(2 << 20, 'x'), false) == XmlScanner::Outcome::kMalformed);
  XmlScanner many(none);
  std::string attributes = "<a";
  for (int i = 0; i < 300; ++i) attributes += fmt::format(" b{}='1'", i);
  CHECK(many.feed(attributes + "/>", true) == XmlScanner::Outcome::kMalformed);
}
