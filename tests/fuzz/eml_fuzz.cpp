// Mails, alone and as mailboxes, and what is read out of subjects.
#include "deskhand/tickets/mail.h"
#include "tests/fuzz/fuzz_table.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace deskhand;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto mail = read_mail(bytes, 1 << 16);
  bool is_reply = false;
  bare_subject(mail.subject, is_reply);
  ticket_number_in(mail.subject);
  const MemoryFile file(bytes);
  try {
    const auto table = open_mails(file.path(), {});
    for (Row row; table->next(row);) {}
  } catch (const Error&) {}
  return 0;
}
