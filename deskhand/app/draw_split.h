// Draws a split by any method: for `deskhand split`, and for an evaluation that measures systems on several.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/app/settings.h"
#include "deskhand/base/parallel.h"
#include "deskhand/tickets/near_copies.h"
#include "deskhand/tickets/split.h"
#include "deskhand/tickets/ticket.h"

namespace deskhand {

// Indices into `tickets`. Throws Error(kUsage) where the method cannot work: too few tickets, no dates, one group alone.
Split draw_split(const SplitSettings& settings, std::span<const Ticket> tickets, ThreadPool& pool);

std::string_view name_of(SplitMethod method);               // "random", "grouped", "time"
std::string describe_split(const SplitSettings& settings);  // "random, 5 %, seed 42"

// Test tickets whose problem has a near copy among those to learn from; indices into split.test and split.train.
std::vector<Leak> leaks_of(const Split& split, std::span<const Ticket> tickets, ThreadPool& pool);

}  // namespace deskhand
