// One e-mail of RFC 5322 and MIME, as far as a ticket needs it: who, when, about what, and the text to read. Dirty mails are read as well
// as can be and never refused; depth, parts and bytes are bounded. Left out: attachments (counted), signatures and encryption (S/MIME,
// PGP).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace deskhand {

struct Mail {
  std::string id;                   // of Message-ID, without its brackets
  std::vector<std::string> refers;  // ids of In-Reply-To and References, the nearest last
  std::string from, to, subject;    // decoded (RFC 2047)
  std::string date;                 // as read_date gives it; empty if there is none that can be read
  std::string text;                 // the plain text, else the HTML as it is
  int attachments = 0;
  bool is_encrypted = false;
};

// Headers alone: `text` and `attachments` stay empty.
Mail read_mail_headers(std::string_view message);
Mail read_mail(std::string_view message, std::size_t most_text_bytes = std::size_t{16} << 20);

// "Re: AW: [Ticket #4711] Printer jams" as "printer jams"; is_reply tells whether a prefix was there.
std::string bare_subject(std::string_view subject, bool& is_reply);
// "4711" of "[Ticket #4711]", "[#4711]", "Case 4711:" or "##4711##"; empty: none.
std::string ticket_number_in(std::string_view subject);

}  // namespace deskhand
