#include "deskhand/tickets/export.h"

#include <array>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/tickets/clean.h"
#include "deskhand/tickets/table.h"

namespace deskhand {
namespace {

bool can_teach(const Ticket& ticket) {
  return !problem_text(ticket).empty() && !resolution_text(ticket).empty() && ticket.urgency >= kMinUrgency &&
         ticket.urgency <= kMaxUrgency && !ticket.category.empty();
}

}  // namespace

std::string training_instruction(const Ticket& ticket) {
  return "Classify and resolve this support ticket using the following details:\n- Problem: " + one_line(problem_text(ticket));
}

std::string training_output(const Ticket& ticket) {
  return fmt::format("- Urgency: {}\n- Category: {}\n- Solution: {}", ticket.urgency, ticket.category, one_line(resolution_text(ticket)));
}

void refuse_training_files(const std::filesystem::path& folder) {
  for (const char* name : {"train.csv", "test.csv", "train.jsonl", "test.jsonl"})
    if (std::filesystem::exists(folder / name))
      throw Error(ExitCode::kCannotWrite, "{} exists; --force replaces it", (folder / name).string());
}

TrainingExport write_training_files(const std::filesystem::path& folder, std::span<const Ticket> train, std::span<const Ticket> test,
                                    bool overwrite) {
  if (!overwrite) refuse_training_files(folder);
  std::error_code fault;
  std::filesystem::create_directories(folder, fault);
  if (fault) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), fault.message());

  TrainingExport done;
  const auto write = [&](const char* part, std::span<const Ticket> tickets, std::int64_t& written) {
    AtomicFile csv(folder / fmt::format("{}.csv", part)), jsonl(folder / fmt::format("{}.jsonl", part));
    csv.write("instruction,output\r\n");
    for (const auto& ticket : tickets) {
      if (!can_teach(ticket)) {
        ++done.left_out;
        continue;
      }
      const std::array cells = {training_instruction(ticket), training_output(ticket)};
      std::string row;
      append_csv_row(row, cells);
      csv.write(row);
      Json object;
      object["instruction"] = cells[0];
      object["output"] = cells[1];
      jsonl.write(write_json(object) + "\n");
      ++written;
    }
    csv.commit();
    jsonl.commit();
  };
  write("train", train, done.train);
  write("test", test, done.test);
  return done;
}

}  // namespace deskhand
