#include "deskhand/evaluate/text_similarity.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

using namespace deskhand;

namespace {

Json golden() {
  const auto path = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/similarity/pairs.json";
  return parse_json(read_text_file(path), path.string());
}

void check_rouge(const RougeL& found, const Json& wanted) {
  CHECK(found.precision == doctest::Approx(wanted[0].get<double>()).epsilon(1e-12));
  CHECK(found.recall == doctest::Approx(wanted[1].get<double>()).epsilon(1e-12));
  CHECK(found.f1 == doctest::Approx(wanted[2].get<double>()).epsilon(1e-12));
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

TEST_CASE("ROUGE-L over ASCII words equals rouge_score's on every pair, over words of any script what rouge_score makes of such words") {
  int ascii = 0;
  const Json file = golden();
  for (const Json& row : file["pairs"]) {
    const std::string answer = row[0], reference = row[1];
    CAPTURE(answer);
    CAPTURE(reference);
    check_rouge(rouge_l(answer, reference, RougeWords::kAscii), row[3]);
    check_rouge(rouge_l(answer, reference), row[4]);
    if (is_ascii(answer) && is_ascii(reference)) ++ascii, check_rouge(rouge_l(answer, reference), row[3]);
  }
  CHECK(ascii > 100);
}

TEST_CASE("BLEU's statistics and values equal sacrebleu's on every pair and on the corpus of them") {
  const Json file = golden();
  BleuStatistics sum;
  for (const Json& row : file["pairs"]) {
    const std::string answer = row[0], reference = row[1];
    CAPTURE(answer);
    CAPTURE(reference);
    const BleuStatistics found = bleu_statistics(answer, reference);
    const auto wanted = row[5].get<std::vector<std::int64_t>>();
    CHECK(found.answer_length == wanted[0]);
    CHECK(found.reference_length == wanted[1]);
    CHECK(std::equal(found.correct.begin(), found.correct.end(), wanted.begin() + 2));
    CHECK(std::equal(found.total.begin(), found.total.end(), wanted.begin() + 6));
    CHECK(sentence_bleu(found) == doctest::Approx(row[6].get<double>()).epsilon(1e-9));
    sum += found;
  }
  CHECK(corpus_bleu(sum) == doctest::Approx(file["corpus"][0].get<double>()).epsilon(1e-9));
}

TEST_CASE("chrF's statistics and values equal sacrebleu's on every pair and on the corpus of them") {
  const Json file = golden();
  ChrfStatistics sum;
  for (const Json& row : file["pairs"]) {
    const std::string answer = row[0], reference = row[1];
    CAPTURE(answer);
    CAPTURE(reference);
    const ChrfStatistics found = chrf_statistics(answer, reference);
    const auto wanted = row[7].get<std::vector<std::int64_t>>();
    for (std::size_t n = 0; n < 6; ++n) {
      CHECK(found.answer[n] == wanted[3 * n]);
      CHECK(found.reference[n] == wanted[3 * n + 1]);
      CHECK(found.match[n] == wanted[3 * n + 2]);
    }
    CHECK(chrf(found) == doctest::Approx(row[8].get<double>()).epsilon(1e-9));
    sum += found;
  }
  CHECK(chrf(sum) == doctest::Approx(file["corpus"][1].get<double>()).epsilon(1e-9));
}

TEST_CASE("empty texts and empty sums give 0, never NaN") {
  for (const auto& [answer, reference] : {std::pair{"", ""}, {"", "a b"}, {"a b", ""}, {" \n", "\t"}, {"?!", "..."}}) {
    const RougeL rouge = rouge_l(answer, reference);
    CHECK(rouge.precision == 0);
    CHECK(rouge.recall == 0);
    CHECK(rouge.f1 == 0);
    CHECK(sentence_bleu(bleu_statistics(answer, reference)) == 0);
    CHECK(corpus_bleu(bleu_statistics(answer, reference)) == 0);
    CHECK(chrf(chrf_statistics(answer, reference)) == 0);
  }
  CHECK(corpus_bleu({}) == 0);
  CHECK(sentence_bleu({}) == 0);
  CHECK(chrf({}) == 0);
}

TEST_CASE("corpus BLEU of answers too short for four words is 0, sentence BLEU takes the orders that there are") {
  const BleuStatistics pair = bleu_statistics("reset password", "reset password");
  CHECK(corpus_bleu(pair) == 0);
  CHECK(sentence_bleu(pair) == doctest::Approx(100));
}

TEST_CASE("Japanese has words, one a kana or ideograph, and accents do not part words") {
  CHECK(rouge_l("再起動する", "再起動した").f1 == doctest::Approx(.6));
  CHECK(rouge_l("再起動する", "再起動した", RougeWords::kAscii).f1 == 0);
  CHECK(rouge_l("GRÖSSE prüfen", "größe prüfen").f1 == doctest::Approx(.5));
  CHECK(rouge_l("Größe", "grö", RougeWords::kAscii).f1 == doctest::Approx(2.0 / 3));
  CHECK(rouge_l("\u212Aelvin", "kelvin", RougeWords::kAscii).f1 == 1);  // the Kelvin sign's lower case is the letter
  CHECK(rouge_l("\u212Belvin", "kelvin", RougeWords::kAscii).f1 == 0);
}

TEST_CASE("wrong UTF-8 counts as U+FFFD and changes nothing around it") {
  CHECK(chrf(chrf_statistics("abc\xFF", "abc\xEF\xBF\xBD")) == doctest::Approx(100));
  CHECK(sentence_bleu(bleu_statistics("one two \xC3", "one two \xEF\xBF\xBD")) == doctest::Approx(100));
  CHECK(rouge_l("one\xFFtwo", "one two").f1 == 1);
}
