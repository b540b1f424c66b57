#include "deskhand/generate/repetition_guard.h"

#include <doctest/doctest.h>

namespace deskhand {
namespace {

// A token a word, with the space before it.
RepetitionGuard written(std::string_view text) {
  RepetitionGuard guard;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.find(' ', begin + 1);
    if (end == std::string_view::npos) end = text.size();
    std::uint32_t id = 0;
    for (const char c : text.substr(begin, end - begin)) id = id * 31 + static_cast<unsigned char>(c);
    guard.push(static_cast<std::int32_t>(id % 1000003), text.substr(begin, end - begin));
    begin = end;
  }
  return guard;
}

TEST_CASE("the token that would write the same eight tokens again is banned, one that writes seven is not") {
  RepetitionGuard guard;
  for (const std::int32_t token : {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6}) guard.push(token, "x");
  CHECK(guard.banned().empty());
  guard.push(7, "x");
  CHECK(guard.banned() == std::vector<std::int32_t>{8});
}

TEST_CASE("a sentence that comes back is noticed when it is whole, whatever its capitals and numbering") {
  CHECK(!written("Restart the dock. Check the cable. Restart the").repeats_from());
  CHECK(!written("Restart the dock. Restart the dock twice. Then").repeats_from());
  CHECK(written("Restart the dock. Check the cable. restart the dock. Then").repeats_from() == 6);
  CHECK(written("1. Restart the dock. 2. Restart the dock. 3.").repeats_from() == 5);
  CHECK(written("Restart the dock.\\nRestart the dock.\\nNow").repeats_from().has_value());
  CHECK(!written("Set VLAN 10 there. Set VLAN 20 there. Done").repeats_from());
  CHECK(!written("OK. OK. OK. OK").repeats_from());
}

TEST_CASE("at the string's end the last sentence counts too") {
  const auto guard = written("Restart the dock. Restart the dock.");
  CHECK(!guard.repeats_from());
  CHECK(guard.repeats_from(true) == 3);
}

TEST_CASE("sentence ends are found before closing signs, and cutting forgets what was behind") {
  auto guard = written("Check the dock (again.) Then call me. And so on");
  CHECK(!guard.at_sentence_end());
  CHECK(guard.last_sentence_end() == 7);
  guard.truncate(5);
  CHECK(!guard.at_sentence_end());
  CHECK(guard.last_sentence_end() == 4);
  guard.truncate(4);
  CHECK(guard.at_sentence_end());
  CHECK(!written("no end").last_sentence_end());
}

}  // namespace
}  // namespace deskhand
