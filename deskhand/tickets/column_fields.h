// What desk.toml calls the columns of an export: a key, and the field of the mapping that it names.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "deskhand/tickets/mapping.h"

namespace deskhand {

inline constexpr std::pair<std::string_view, std::string TicketColumns::*> kTicketColumns[] = {{"id", &TicketColumns::id},
                                                                                               {"subject", &TicketColumns::subject},
                                                                                               {"problem", &TicketColumns::problem},
                                                                                               {"urgency", &TicketColumns::urgency},
                                                                                               {"category", &TicketColumns::category},
                                                                                               {"area", &TicketColumns::area},
                                                                                               {"issue", &TicketColumns::issue},
                                                                                               {"solution", &TicketColumns::solution},
                                                                                               {"result", &TicketColumns::result},
                                                                                               {"account", &TicketColumns::account},
                                                                                               {"account_id", &TicketColumns::account_id},
                                                                                               {"received", &TicketColumns::received},
                                                                                               {"completed", &TicketColumns::completed}};
inline constexpr std::pair<std::string_view, std::string HistoryColumns::*> kHistoryColumns[] = {
    {"ticket_id", &HistoryColumns::ticket_id},   {"id", &HistoryColumns::id},           {"user", &HistoryColumns::user},
    {"short_text", &HistoryColumns::short_text}, {"created", &HistoryColumns::created}, {"text", &HistoryColumns::text},
    {"type_code", &HistoryColumns::type_code},   {"type", &HistoryColumns::type}};

}  // namespace deskhand
