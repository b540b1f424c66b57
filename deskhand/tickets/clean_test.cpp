#include "deskhand/tickets/clean.h"

#include <doctest/doctest.h>

using namespace deskhand;

TEST_CASE("the seed's cleaning strips its marks, lines and white space, and nothing else") {
  CHECK(seed_clean("TICKET RECEIVED: 14/03/2024 09:12\nTO: support desk\nDESCRIPTION: Printer  jams\n\n[REDACTED_NAME] says \"hi\"") ==
        "Printer jams says \"hi\"");
  CHECK(seed_clean(" \n ") == "");
  CHECK(seed_clean("TICKET RECEIVED: printer jams") == "TICKET RECEIVED: printer jams");  // all it says
}

TEST_CASE("a mail loses greeting, sign-off, signature and legal notice and keeps its problem") {
  CHECK(clean_text("TICKET RECEIVED: 14/03/2024 09:12\nHi all,\n\nI hope this e-mail finds you well.\n\nSOP310 stops at 60 %.\nNobody can "
                   "invoice.\n\nKind regards\n[REDACTED_NAME]\n"
                   "Finance Manager\nAshdown Bearings Ltd\nRegistered in England No 0123456") ==
        "SOP310 stops at 60 %.\nNobody can invoice.");
  CHECK(clean_text("Dear Support team,\nthe portal is down\n-- \n[REDACTED_NAME]\n[REDACTED_PHONE]") == "the portal is down");
  CHECK(clean_text("The portal is down.\n\nThis email and any attachments are confidential and intended solely for\nthe addressee. If you "
                   "have received it in error delete it.\n\nIt started "
                   "at nine.") == "The portal is down.\n\nIt started at nine.");
  CHECK(clean_text("Please ring me.\n\n[REDACTED_NAME]\nSupply Manager\nBrackwater Foods") == "Please ring me.");
  CHECK(clean_text("stock is wrong\n\nSent from my iPhone") == "stock is wrong");
}

TEST_CASE("German and French mails are cut the same way") {
  CHECK(clean_text("Sehr geehrte Damen und Herren,\n\nder Druckauftrag hängt.\n\nMit freundlichen Grüßen\n[REDACTED_NAME]\nHafen Lübeck "
                   "Logistik GmbH\nAmtsgericht Lübeck HRB 1234") == "der Druckauftrag hängt.");
  CHECK(clean_text("Bonjour,\n\nl'écran SOP310 ne répond plus.\n\nCordialement,\n[REDACTED_NAME]") == "l'écran SOP310 ne répond plus.");
  CHECK(clean_text("Das klappt nicht.\n\nAm 12.03.2024 um 09:12 schrieb Support <s@x.de>:\n> Bitte neu starten.\n> Danke") ==
        "Das klappt nicht.");
  CHECK(clean_text("Toujours pareil.\n\nDe : Support\nEnvoyé : mardi 12 mars\nÀ : Client\nObjet : RE: écran\n\nMerci de relancer.") ==
        "Toujours pareil.");
}

TEST_CASE("a quoted mail below an answer goes, a forwarded one stays without its header") {
  CHECK(clean_text("Still the same.\n\nFrom: Support\nSent: 12 March 2024 09:12\nTo: Client\nSubject: RE: jam\n\nPlease restart.") ==
        "Still the same.");
  CHECK(clean_text("From: Warehouse\nSent: 12 March 2024 09:12\nTo: Support\nSubject: FW: jam\n\nThe printer jams.") ==
        "The printer jams.");
  CHECK(clean_text("see below\n-------- Forwarded Message --------\nFrom: x\nDate: y\nSubject: z\nThe handheld shows WMS-88.")
            .find("WMS-88") == std::string::npos);
  CHECK(clean_text("On Tue, 12 Mar 2024, Support wrote:\n> Did you restart?\nYes, twice.") == "Yes, twice.");
  CHECK(clean_text("''jo said''\n> it jams\n\nClean it.") == "Clean it.");
  CHECK(clean_text("The screen shows this:\n> CVN-1042 row locked\n> retry\nWhat now?") ==
        "The screen shows this:\nCVN-1042 row locked\nretry\nWhat now?");
  CHECK(clean_text("From: tomorrow we cannot invoice") == "From: tomorrow we cannot invoice");
}

TEST_CASE("a text that is all quote, greeting or mark keeps its words") {
  CHECK(clean_text("> please call me") == "> please call me");
  CHECK(clean_text("Hello") == "Hello");
  CHECK(clean_text("Thanks") == "Thanks");
  CHECK(clean_text("[REDACTED_NAME]") == "[REDACTED_NAME]");
  CHECK(clean_text("DESCRIPTION:") == "DESCRIPTION:");
  CHECK(clean_text("???") == "???");
  CHECK(clean_text("<p></p>") != "");
  CHECK(clean_text("   \n\t ") == "");
}

TEST_CASE("HTML becomes text with its lists and lines; what only looks like a tag stays") {
  CHECK(clean_text(
            "<p>Does not start&nbsp;since 115.6 &amp; later.</p><ul><li>one</li><li>two</li></ul><script>alert(1)</script><blockquote>you "
            "wrote</blockquote><p>a &lt; b</p>") == "Does not start since 115.6 & later.\n\n- one\n- two\n\na < b");
  CHECK(clean_text("Dear <name>, if a < b and c > d then it fails") == "if a < b and c > d then it fails");
  CHECK(clean_text("x &#8364; &#x41; &#0; &bogus; <b>y</b>") == "x € A &#0; &bogus; y");
  CHECK(clean_text("<p>open <a href=\"x") == "open <a href=\"x");
}

TEST_CASE("literal line ends become lines, those in paths do not") {
  CHECK(clean_text("Dear Customer Support,\\n\\nThe sync fails.\\nData is lost.") == "The sync fails.\nData is lost.");
  CHECK(clean_text("The file C:\\new\\notes.txt on \\\\server\\news is locked") ==
        "The file C:\\new\\notes.txt on \\\\server\\news is locked");
}

TEST_CASE("greetings go only from the start and only with more behind them") {
  CHECK(clean_text("Hi team, the screen says hello, world") == "the screen says hello, world");
  CHECK(clean_text("greetings we cannot sign in") == "we cannot sign in");
  CHECK(clean_text("greetings in ref to FIN105, it fails") == "in ref to FIN105, it fails");
  CHECK(clean_text("dears, it fails. thanks, bob") == "it fails.");
  CHECK(clean_text("Jo,\nThank you.\nI found the files where you said they would be, but why does the screen show them only after a "
                   "restart, and why twice?")
            .find("restart") != std::string::npos);
  CHECK(clean_text("All orders are stuck.\nSee SOP120.") == "All orders are stuck.\nSee SOP120.");
  CHECK(clean_text("Dear ledger entries vanished: FIN105 shows none") == "Dear ledger entries vanished: FIN105 shows none");
}

TEST_CASE("each rule counts the texts it changed") {
  Cleaner cleaner;
  cleaner.clean("Hi,\nit jams");
  cleaner.clean("<p>it jams</p>");
  cleaner.clean("");
  cleaner.clean("> all quoted");
  const auto changed = [&](CleanRule rule) { return cleaner.counts().changed[static_cast<std::size_t>(rule)]; };
  CHECK(cleaner.counts().texts == 3);
  CHECK(changed(CleanRule::kGreeting) == 1);
  CHECK(changed(CleanRule::kHtml) == 1);
  CHECK(changed(CleanRule::kQuotedMail) == 0);
  CHECK(changed(CleanRule::kMilder) == 1);
}

TEST_CASE("a long hostile text is cleaned in bounded time") {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "On <<<< Hi, \\n>";
  CHECK_FALSE(clean_text(text).empty());
  CHECK_FALSE(clean_text(std::string(300000, '<')).empty());
  CHECK_FALSE(clean_text(std::string(100000, '\n') + "x" + std::string(100000, ' ')).empty());
  CHECK_FALSE(clean_text(std::string(50000, '&') + "<b>").empty());
  CHECK_FALSE(clean_text("\xff\xfe broken \x80 bytes").empty());
}
