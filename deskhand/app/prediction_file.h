// Predictions as files: written for people and other programs, and read back, so that any system's answers can be measured beside ours.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "deskhand/evaluate/evaluation.h"
#include "deskhand/evaluate/prediction.h"

namespace deskhand {

// SYSTEM_results.csv and .jsonl in `folder` for each system, one row a held-out ticket: its texts and labels, the answer, probabilities,
// cases, similarities and every measure. Earlier ones there go. The CSV file is made for spreadsheets: a text that would be read as a
// formula gets an apostrophe before it; the JSON lines are exact.
void write_predictions(const std::filesystem::path& folder, const SplitRecords& records, const SplitResult& result,
                       std::span<const MeasureInfo> measures);

// A table (.csv, .jsonl or .xlsx) with the columns ticket_id (or ticketid, id) and urgency, category, resolution; or `answer`, the text
// that a model replied, from which the first JSON object is read. Missing cells are missing answers. Throws Error(kBadInput) naming file
// and row for an urgency that is no number, and where the columns are not there.
std::vector<Prediction> read_predictions(const std::filesystem::path& file);

// Given relevant cases: a table with the columns ticket_id and case_id.
std::vector<std::pair<std::string, std::string>> read_relevant_pairs(const std::filesystem::path& file);

std::string file_name_of(const std::string& system);  // "qwen 0.5B, with cases" -> "qwen_0_5b_with_cases"

}  // namespace deskhand
