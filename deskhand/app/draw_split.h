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

// The splits of all folds; without folds the one. Indices into `tickets`. Throws Error(kUsage) where the method cannot work: too few
// tickets, no dates, one group alone.
std::vector<Split> draw_splits(const SplitSettings& settings, std::span<const Ticket> tickets, ThreadPool& pool);
// The one that the settings name.
Split draw_split(const SplitSettings& settings, std::span<const Ticket> tickets, ThreadPool& pool);

// Up to `count` of them, without repeats, in the order of their draw: the first of a longer draw by the same seed are those of a shorter.
std::vector<Ticket> draw_tickets(std::span<const Ticket> tickets, std::int64_t count, int seed);

// Views into the tickets.
std::vector<std::string_view> problem_texts(std::span<const Ticket> tickets);

std::string_view name_of(SplitMethod method);               // "random", "grouped", "time"
std::string describe_split(const SplitSettings& settings);  // "grouped, 5 %, seed 42", "by time, fold 2 of 5"

// What a split is worth if that many of the tickets kept for testing have a near copy on the other side: a sentence, and what to do about
// it.
std::string about_leaks(std::int64_t leaked, std::size_t test, SplitMethod method);

// Test tickets whose problem has a near copy among those to learn from; indices into split.test and split.train.
std::vector<Leak> leaks_of(const Split& split, std::span<const Ticket> tickets, ThreadPool& pool);

}  // namespace deskhand
