#include "deskhand/app/draw_split.h"

#include <fmt/format.h>

namespace deskhand {

std::string_view name_of(SplitMethod method) {
  switch (method) {
    case SplitMethod::kRandom:
      return "random";
    case SplitMethod::kGrouped:
      return "grouped";
    case SplitMethod::kTime:
      return "time";
  }
  return "";
}

std::string describe_split(const SplitSettings& settings) {
  const double percent = 100 * settings.test_share;
  if (settings.method == SplitMethod::kTime) return fmt::format("by time, the latest {:g} %", percent);
  return fmt::format("{}, {:g} %, seed {}", name_of(settings.method), percent, settings.seed);
}

std::vector<Ticket> draw_tickets(std::span<const Ticket> tickets, std::int64_t count, int seed) {
  std::vector<Ticket> drawn;
  const auto order = numpy_permutation(static_cast<std::int64_t>(tickets.size()), static_cast<std::uint32_t>(seed));
  for (std::size_t i = 0; i < order.size() && static_cast<std::int64_t>(drawn.size()) < count; ++i)
    drawn.push_back(tickets[static_cast<std::size_t>(order[i])]);
  return drawn;
}

std::vector<std::string_view> problem_texts(std::span<const Ticket> tickets) {
  std::vector<std::string_view> texts;
  for (const Ticket& ticket : tickets) texts.push_back(problem_text(ticket));
  return texts;
}

Split draw_split(const SplitSettings& settings, std::span<const Ticket> tickets, ThreadPool& pool) {
  const auto seed = static_cast<std::uint32_t>(settings.seed);
  switch (settings.method) {
    case SplitMethod::kGrouped:
      return grouped_split(near_copy_groups(problem_texts(tickets), pool), settings.test_share, seed);
    case SplitMethod::kTime: {
      std::vector<std::string> dates;
      for (const auto& ticket : tickets) dates.push_back(ticket.received);
      return time_split(dates, settings.test_share);
    }
    case SplitMethod::kRandom:
      break;
  }
  return random_split(static_cast<std::int64_t>(tickets.size()), settings.test_share, seed);
}

std::vector<Leak> leaks_of(const Split& split, std::span<const Ticket> tickets, ThreadPool& pool) {
  const auto problems = [&](const std::vector<std::int64_t>& rows) {
    std::vector<std::string_view> texts;
    for (const auto row : rows) texts.push_back(problem_text(tickets[static_cast<std::size_t>(row)]));
    return texts;
  };
  return leaks(problems(split.train), problems(split.test), pool);
}

}  // namespace deskhand
