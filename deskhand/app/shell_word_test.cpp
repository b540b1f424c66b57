#include "deskhand/app/shell_word.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdio>

namespace deskhand {

TEST_CASE("what needs no quotes has none") {
  CHECK(shell_word("runs/lora-r8") == "runs/lora-r8");
  CHECK(shell_word("lora.r=8") == "lora.r=8");
  CHECK(shell_word("deskhand triage") == "'deskhand triage'");
  CHECK(shell_word("") == "''");
}

TEST_CASE("a shell reads every word as it was") {
  for (const std::string word :
       {"two words", "it's", "$HOME `id` \"x\" \\", "[\"q_proj\", \"v_proj\"]", "a;b|c&d>e", "~", "*", "line\nend", ""}) {
    CAPTURE(word);
    FILE* shell = ::popen(("printf '%s' " + shell_word(word)).c_str(), "r");
    REQUIRE(shell);
    std::array<char, 100> said{};
    const std::size_t count = std::fread(said.data(), 1, said.size(), shell);
    CHECK(::pclose(shell) == 0);
    CHECK(std::string(said.data(), count) == word);
  }
}

}  // namespace deskhand
