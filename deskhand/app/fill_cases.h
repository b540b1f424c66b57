// A case database of its own beside the desk's: for an evaluation's split, and for the cases that training texts show.
#pragma once
#include <span>

#include "deskhand/app/answering.h"
#include "deskhand/app/vector_cache.h"

namespace deskhand {

// The database's cases become these tickets', with vectors where there is an encoder. Tickets need a problem text.
void fill_cases(Database& database, std::span<const Ticket> tickets, DeskEncoder* encoder, VectorCache* cache);

}  // namespace deskhand
