// What a model wrote, tidied and judged; sentences chosen from a text.
#include "deskhand/tickets/rewriting.h"

#include <doctest/doctest.h>

using namespace deskhand;

TEST_CASE("a rewriting loses its label, bullets, quotes and greeting, and ends with a sentence within its words") {
  Cleaner plain;
  CHECK(tidy_rewriting("Problem: \"The label printer prints blanks.\"", 80, plain) == "The label printer prints blanks.");
  CHECK(tidy_rewriting("Here is the summary:\n- The ribbon was empty.\n- It was replaced.", 80, plain) ==
        "The ribbon was empty. It was replaced.");
  CHECK(tidy_rewriting("Hi all,\nthe ribbon was empty.", 80, plain) == "the ribbon was empty.");
  CHECK(tidy_rewriting("One two three. Four five six. Seven eight nine.", 7, plain) == "One two three. Four five six.");
  CHECK(tidy_rewriting("See z. B. item No. 5 here. Then more words follow.", 7, plain) == "See z. B. item No. 5 here.");
}

TEST_CASE("refusals, loops, inventions, personal details and endless texts are told from honest ones") {
  Cleaner cleaner(CleanSettings(CleanStyle::kFull, RedactSettings::all()));
  const std::string source = "SOP310 stops at 60 % with CVN-1042 since the update of 14.03., printer DRU_3 is fine. [NAME_1] waits.";
  const auto fault = [&](std::string_view text, std::size_t most = 80) { return check_rewriting(source, text, most, cleaner); };
  CHECK(fault("SOP310 stops at 60 % with error CVN 1042; DRU_3 works.") == RewriteFault::kNone);
  CHECK(fault("[NAME_1] reports that the run stops at 60 percent.") == RewriteFault::kNone);
  CHECK(fault("") == RewriteFault::kNoAnswer);
  CHECK(fault("I'm sorry, but I cannot help with that.") == RewriteFault::kRefusal);
  CHECK(fault("Please provide the text of the ticket.") == RewriteFault::kRefusal);
  CHECK(fault("The run stops again. The run stops again.") == RewriteFault::kLoop);
  CHECK(fault("the run stops and then the run stops and then the run stops and then it ends") == RewriteFault::kLoop);
  CHECK(fault("SOP310 stops at 61 %.") == RewriteFault::kInvention);
  CHECK(fault("SOP311 stops.") == RewriteFault::kInvention);
  CHECK(fault("The BIOS must be updated.") == RewriteFault::kInvention);
  CHECK(fault("Sabine reports that SOP310 stops.") == RewriteFault::kPersonal);
  CHECK(fault("SOP310 stops at 60 % since the update", 5) == RewriteFault::kTooLong);
}

TEST_CASE("an extract is made of the text's own sentences, in their order, within its words") {
  const std::string text =
      "The invoice run stops at 60 % with CVN-1042. It is Monday. The invoice run was started twice || Somebody had a coffee meanwhile. "
      "Invoice number range CVN was exhausted, so the run stops. We like cake a lot here.";
  CHECK(extract_summary("short enough", 80) == "short enough");
  const auto extract = extract_summary(text, 26);
  CHECK(extract ==
        "The invoice run stops at 60 % with CVN-1042. The invoice run was started twice. Invoice number range CVN was exhausted, so the "
        "run stops.");
  CHECK(count_words(extract) <= 26);
  CHECK(extract_summary("one two three four five six", 3) == "one two three");
  CHECK(extract_summary("", 3).empty());
}
