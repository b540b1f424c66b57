// Training texts for other programs, literally as the ERP scripts wrote them.
#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "deskhand/tickets/ticket.h"

namespace deskhand {

// "Classify and resolve this support ticket using the following details:\n- Problem: P"
std::string training_instruction(const Ticket& ticket);
// "- Urgency: U\n- Category: C\n- Solution: S"
std::string training_output(const Ticket& ticket);

struct TrainingExport {
  std::int64_t train = 0, test = 0, left_out = 0;  // left out: no problem text, no resolution or no labels
};
// Throws Error(kCannotWrite) if one of the files is there.
void refuse_training_files(const std::filesystem::path& folder);
// train.csv, test.csv (columns instruction, output), train.jsonl, test.jsonl (the same keys), each whole or not at all.
// Throws Error(kCannotWrite) if one is there and `overwrite` is false.
TrainingExport write_training_files(const std::filesystem::path& folder, std::span<const Ticket> train, std::span<const Ticket> test,
                                    bool overwrite = false);

}  // namespace deskhand
