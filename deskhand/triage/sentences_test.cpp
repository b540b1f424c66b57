#include "deskhand/triage/sentences.h"

#include <doctest/doctest.h>

namespace deskhand {

using Views = std::vector<std::string_view>;

TEST_CASE("sentences end at stops, line ends and the bars between activities, not at abbreviations, versions or amounts") {
  CHECK(sentences_of("Reset the lock in SYS040. Ran SOP310 again!  Done?") ==
        Views{"Reset the lock in SYS040.", "Ran SOP310 again!", "Done?"});
  CHECK(sentences_of("Called back || Fixed on 2024.1 HF3, e.g. No. 17 cost 3.50\nClosed.") ==
        Views{"Called back", "Fixed on 2024.1 HF3, e.g. No. 17 cost 3.50", "Closed."});
  CHECK(sentences_of("Set it (see FIN240.) Then post.") == Views{"Set it (see FIN240.)", "Then post."});
  CHECK(sentences_of("z. B. Größe geändert. Über FIN115 gebucht.") == Views{"z. B. Größe geändert.", "Über FIN115 gebucht."});
  CHECK(sentences_of(" \n || \n").empty());
  CHECK(sentences_of("").empty());
}

TEST_CASE("a text is shortened to whole sentences, else to whole words, and never inside a character") {
  CHECK(shorten("One two. Three four. Five six.", 21) == "One two. Three four.");
  CHECK(shorten("One two three four five six.", 12) == "One two...");
  CHECK(shorten("short", 5) == "short");
  CHECK(shorten("ÄÄÄÄÄÄ", 8) == "ÄÄ...");
  CHECK(shorten("Ended it. || Posted again.", 14) == "Ended it.");
}

}  // namespace deskhand
