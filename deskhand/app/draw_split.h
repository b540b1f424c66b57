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

// Up to `count` of them, without repeats, in the order of their draw: the first of a longer draw by the same seed are those of a shorter.
std::vector<Ticket> draw_tickets(std::span<const Ticket> tickets, std::int64_t count, int seed);

// Views into the tickets.
std::vector<std::string_view> problem_texts(std::span<const Ticket> tickets);

std::string_view name_of(SplitMethod method);               // "random", "grouped", "time"
std::string describe_split(const SplitSettings& settings);  // "random, 5 %, seed 42"

// Test tickets whose problem has a near copy among those to learn from; indices into split.test and split.train.
std::vector<Leak> leaks_of(const Split& split, std::span<const Ticket> tickets, ThreadPool& pool);

}  // namespace deskhand
