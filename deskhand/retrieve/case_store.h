// Closed tickets as cases in the desk's database: what retrieval shows and searches, with one vector a case and encoder. Tables `cases`,
// `case_vectors` and the FTS5 index `case_words` over the problem; triggers keep the latter two in step, whoever writes to `cases`.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/base/sqlite.h"

namespace deskhand {

struct Case {
  std::string ticket_id;
  std::string problem;  // what is embedded and searched
  std::string resolution;
  int urgency = 0;  // 1..5, 0: not known
  std::string category;
  std::string content_hash;  // SHA-256 of the fields above; the store fills it in
};

// Which model made a vector, its text preparation included: vectors of another name or hash are never mixed with these.
struct EncoderId {
  std::string name;  // "all-minilm-l6-v2"
  std::string hash;  // SHA-256 of its weights and settings
};

// The vectors of one encoder, in the order of ticket ids.
struct CaseVectors {
  std::int64_t count = 0, width = 0;
  std::vector<std::string> ticket_ids;  // (count)
  std::vector<float> matrix;            // (count, width), row-major
};

// Makes this room's tables where they are missing.
void create_case_tables(Database& database);

class CaseStore {
 public:
  // Borrows. Makes the tables if the database can be written to; throws Error(kCannotWrite) if they are missing and it cannot.
  explicit CaseStore(Database& database);

  // Inserts or replaces by ticket id, all or none. A case whose problem changed loses its vectors; one that is the same is not touched.
  // Returns how many were new or changed. Throws Error(kBadInput) for an empty id or an urgency outside 0..5.
  std::int64_t upsert(std::span<const Case> cases);
  std::int64_t remove(std::span<const std::string> ticket_ids);     // all or none; unknown ids are passed over; returns how many went
  std::int64_t keep_only(std::span<const std::string> ticket_ids);  // removes every case that is not named; returns how many went

  std::int64_t count();
  std::optional<Case> find(std::string_view ticket_id);
  // In the order of ticket ids (by bytes). The store must not be written to meanwhile.
  void each(const std::function<void(const Case&)>& visit);

  // The first `limit` cases behind ticket id `after` that lack a vector of this encoder: embedding goes on where it stopped.
  std::vector<Case> without_vector(const EncoderId& encoder, std::int64_t limit, std::string_view after = {});
  std::int64_t count_without_vector(const EncoderId& encoder);
  // vectors: (cases, width), finite. One transaction. A case that changed or went since it was read is passed over; returns how many were
  // stored. Throws Error(kBadInput) for values that are not finite, or another width than this encoder's vectors have.
  std::int64_t put_vectors(const EncoderId& encoder, std::span<const Case> cases, std::span<const float> vectors);
  // Throws Error(kBadInput) for a blob of another width than its neighbours'.
  CaseVectors load_vectors(const EncoderId& encoder);
  std::vector<EncoderId> encoders();  // those that have vectors here
  std::int64_t drop_vectors(const EncoderId& encoder);

 private:
  void rebuild_words();
  Database& database_;
};

}  // namespace deskhand
