#include "deskhand/text/normalize.h"

#include <doctest/doctest.h>

using namespace deskhand;

TEST_CASE("wrong UTF-8 is found and each maximal wrong part becomes one replacement character") {
  CHECK(is_valid_utf8("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80"));
  for (const char* wrong : {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xFF"}) CHECK_FALSE(is_valid_utf8(wrong));
  CHECK(repair_utf8("a\xE2\x82z") == "a\xEF\xBF\xBDz");  // as Python: b'a\xe2\x82z'.decode(errors='replace')
  CHECK(repair_utf8("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(repair_utf8("\xF0\x9F\x98") == "\xEF\xBF\xBD");
}

TEST_CASE("a stream holds back exactly the bytes of a character that is not complete") {
  CHECK(incomplete_utf8_tail("abc") == 0);
  CHECK(incomplete_utf8_tail("a\xE2\x82") == 2);
  CHECK(incomplete_utf8_tail("a\xE2\x82\xAC") == 0);
  CHECK(incomplete_utf8_tail("\xF0\x9F\x98") == 3);
  CHECK(incomplete_utf8_tail("a\xFF") == 0);
}

TEST_CASE("normal forms compose, take apart and fold") {
  CHECK(normalize("u\xCC\x88", NormalForm::kNfc) == "\xC3\xBC");
  CHECK(normalize("\xC3\xBC", NormalForm::kNfd) == "u\xCC\x88");
  CHECK(normalize("\xEF\xAC\x81", NormalForm::kNfkc) == "fi");
  CHECK(normalize("\xEF\xAC\x81", NormalForm::kNfc) == "\xEF\xAC\x81");
}

TEST_CASE("accents go, letters stay, and lower case knows the dotted capital I") {
  CHECK(strip_accents("M\xC3\xBCller \xC3\xA0 No\xC3\xABl \xC3\xB8") == "Muller a Noel \xC3\xB8");
  CHECK(lower_case("\xC4\xB0\xC3\x9C") == "i\xCC\x87\xC3\xBC");
  CHECK(fold_white_space(" a \r\n\t b\xC2\xA0 ") == "a b");
}

TEST_CASE("BERT's normaliser drops control characters and sets Chinese characters apart") {
  CHECK(bert_normalize("A\x01\xEF\xBF\xBD"
                       "B\xC2\xA0\xC3\xA9",
                       {}) == "ab e");
  CHECK(bert_normalize("x\xE4\xB8\xADy", {}) == "x \xE4\xB8\xAD y");
}
