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

Split draw_split(const SplitSettings& settings, std::span<const Ticket> tickets, ThreadPool& pool) {
  const auto seed = static_cast<std::uint32_t>(settings.seed);
  switch (settings.method) {
    case SplitMethod::kGrouped: {
      std::vector<std::string_view> problems;
      for (const auto& ticket : tickets) problems.push_back(problem_text(ticket));
      return grouped_split(near_copy_groups(problems, pool), settings.test_share, seed);
    }
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
