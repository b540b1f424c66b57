#include "deskhand/tickets/ticket.h"

#include <initializer_list>

namespace deskhand {
namespace {

const std::string& first_with_text(std::initializer_list<const std::string*> texts) {
  for (const auto* text : texts)
    if (!text->empty()) return *text;
  return **(texts.end() - 1);
}

}  // namespace

const std::string& problem_text(const Ticket& ticket) {
  return first_with_text({&ticket.clean_problem, &ticket.query, &ticket.problem, &ticket.subject});
}

const std::string& resolution_text(const Ticket& ticket) {
  return first_with_text({&ticket.resolution_summary, &ticket.solution, &ticket.resolution, &ticket.result});
}

}  // namespace deskhand
