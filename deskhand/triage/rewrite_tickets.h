// CLEAN_PROBLEM and RESOLUTION_SUMMARY for every ticket of a desk. What was written is kept by the SHA-256 of its source and its writer: a
// second run, or one that was stopped, asks for nothing that is there. What fails its check stays away: the cleaned text goes on standing.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/expected.h"
#include "deskhand/tickets/rewriting.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {

struct RewriteTask {
  RewriteKind kind = RewriteKind::kProblem;
  std::string source;  // cleaned
};

class RewriteModel {
 public:
  virtual ~RewriteModel() = default;
  // In the order of the tasks; a text says why one could not be written. Throws Error(kInterrupted) on Ctrl-C.
  virtual std::vector<Expected<std::string, std::string>> rewrite(std::span<const RewriteTask> tasks) = 0;
  virtual std::string id() const = 0;  // of weights, adapter and prompt: another writes anew
};

struct RewriteSettings {
  CleanSettings clean;      // as the tickets were prepared: what it would redact may not be written
  std::size_t batch = 8;    // texts asked for at a time; Ctrl-C loses at most these
  std::size_t enough = 12;  // a text of so few words is left as it is
  std::int64_t limit = 0;   // tickets; 0: all
  bool quiet = false;
};

struct RewriteReport {
  std::int64_t tickets = 0;  // looked at
  std::int64_t texts = 0;    // of them that are long enough to be rewritten
  std::int64_t short_enough = 0;
  std::int64_t from_cache = 0, asked = 0;
  std::int64_t rewritten = 0;                            // stand now, old ones included
  std::array<std::int64_t, kRewriteFaults> faults = {};  // why the others do not
  double seconds = 0;

  std::string json() const;
  std::string text() const;
};

// model null: sentences are chosen from the source. Throws Error(kNotFound) for a desk without tickets.
RewriteReport rewrite_tickets(Database& database, RewriteModel* model, const RewriteSettings& settings);

}  // namespace deskhand
