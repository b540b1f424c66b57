#include "deskhand/evaluate/smoothing.h"

#include <doctest/doctest.h>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {

TEST_CASE("smoothing equals scipy's savgol_filter to 1e-9, the ends included") {
  const auto cases = parse_json(read_text_file(DESKHAND_SOURCE_DIR "/tests/golden/train/smoothing.json"), "smoothing.json");
  REQUIRE(cases.size() == 8);
  for (const Json& one : cases) {
    const auto values = one["values"].get<std::vector<double>>(), expected = one["smooth"].get<std::vector<double>>();
    const auto smooth = savitzky_golay(values, one["window"], one["order"]);
    REQUIRE(smooth.size() == expected.size());
    for (std::size_t i = 0; i < smooth.size(); ++i) CHECK(std::abs(smooth[i] - expected[i]) < 1e-9);
  }
}

TEST_CASE("a parabola stays what it is, and so do values too few to smooth") {
  std::vector<double> parabola;
  for (int i = 0; i < 20; ++i) parabola.push_back(0.5 * i * i - 3 * i + 1);
  const auto smooth = savitzky_golay(parabola);
  for (std::size_t i = 0; i < smooth.size(); ++i) CHECK(smooth[i] == doctest::Approx(parabola[i]).epsilon(1e-12));
  CHECK(savitzky_golay({}).empty());
  const std::vector<double> two = {1, 5}, four = {1, 5, 2, 8};
  CHECK(savitzky_golay(two) == two);
  CHECK(savitzky_golay(four).size() == 4);  // windows of three, which a parabola meets
  CHECK(savitzky_golay(four)[1] == doctest::Approx(5));
}

}  // namespace deskhand
