// The retriever's data as files others read: metadata.parquet with the seed's columns and embeddings.npy, row for row.
//   TICKETID, CLEAN_PROBLEM, RESOLUTION_SUMMARY: text; URGENCYCODE: int64, null: not known; CATEGORY, EMBEDDED_TEXT: text;
//   TOKENS: list of text, the set of upper-case \w+ of the embedded text, sorted
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "deskhand/retrieve/case_store.h"

namespace deskhand {

struct MetadataRow {
  std::string ticket_id, problem, resolution;
  int urgency = 0;  // 0: not known
  std::string category, embedded_text;
  std::vector<std::string> tokens;
};

bool has_parquet();  // this build was linked with Apache Arrow

// Written whole or not at all. Bytes that are not UTF-8 become U+FFFD. Both throw Error(kUsage) in a build without Arrow.
void write_metadata_parquet(const std::filesystem::path& path, std::span<const MetadataRow> rows);
// Throws Error(kNotFound), or Error(kBadInput) for a file that is no Parquet or lacks one of the columns.
std::vector<MetadataRow> read_metadata_parquet(const std::filesystem::path& path);

// Writes folder/embeddings.npy (cases, C) and folder/metadata.parquet for every case that has a vector of this encoder, in the order of
// ticket ids. Makes the folder. Throws Error(kNotFound) if no case has one, Error(kCannotWrite) if a file is there and not `force`. Returns
// the rows.
std::int64_t export_retriever_data(const std::filesystem::path& folder, CaseStore& store, const EncoderId& encoder, bool force = false);

}  // namespace deskhand
