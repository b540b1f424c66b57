// Triage of a ticket: cleaned as the cases were, embedded, past cases found, a model asked, its word weighed with the cases' votes. Works
// without a decoder (votes decide, the best case's resolution stands) and without an encoder (identifiers and BM25 find the cases).
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/retrieve/case_store.h"
#include "deskhand/retrieve/retriever.h"
#include "deskhand/tickets/clean.h"
#include "deskhand/tickets/ticket.h"
#include "deskhand/triage/answer_model.h"
#include "deskhand/triage/confidence.h"
#include "deskhand/triage/decision.h"
#include "deskhand/triage/embedder.h"

namespace deskhand {

struct TriageSettings {
  std::int64_t shown_cases = 3;       // to the model and in the decision
  Witness witness = Witness::kFused;  // who decides the labels
  CleanSettings clean;                // as the tickets were prepared
  float near_copy = 0.97f;            // hear, judge: cases at least this close are left out, a new ticket has no such copy
  bool mend = true;                   // a resolution that no case supports, or that repeats the ticket, gives way to the best case's
  std::int64_t batch = 4;             // tickets asked about at a time, where there are many
};

// Borrowed, but for the confidence. model and embedder may be null.
struct TriageParts {
  const Retriever& retriever;
  TextEmbedder* embedder = nullptr;
  AnswerModel* model = nullptr;
  Confidence confidence;  // its labels are the desk's
};

// What was said of a closed ticket's labels, before anything is weighed, and what they are.
struct HeardTicket {
  std::string ticket_id;
  int urgency = 0;                        // 0: not known
  std::string category;                   // empty: not known
  std::array<LabelEvidence, 2> evidence;  // by LabelKind
};

// The desk's labels and their shares, with default weights: urgencies 1..5, categories by name as the cases have them. Throws
// Error(kNotFound) if there is no case with a category.
Confidence confidence_of_cases(CaseStore& cases);

// One thread at a time.
class Triager {
 public:
  Triager(TriageParts parts, TriageSettings settings = {});

  // Throws Error(kBadInput) for a query without any text, Error(kInterrupted) on Ctrl-C. A model that fails is a warning in the decision.
  Decision triage(std::string_view query) const;

  // The same for many, `batch` at a time; done(i, decision) is called in order. A query without text becomes a decision that says so.
  void triage(std::span<const std::string> queries, const std::function<void(std::size_t, const Decision&)>& done) const;

  // What would be decided of closed tickets' labels, each without its own case and near copies: one decision a ticket, without resolution.
  // They are asked about together, so give a batch at a time. Ctrl-C throws.
  std::vector<Decision> judge(std::span<const Ticket> closed) const;

  // What model and cases say of closed tickets' labels, by label-only passes: each ticket's own case and near copies are left out. Tickets
  // without text, and those the model could not read, say nothing and are passed over. Give a batch at a time; Ctrl-C throws.
  std::vector<HeardTicket> hear(std::span<const Ticket> closed) const;

  // Weights and their cross-validated report. Labels that the desk does not have are passed over.
  Confidence fit_confidence(std::span<const HeardTicket> heard) const;

  const Confidence& confidence() const { return parts_.confidence; }
  std::int64_t batch() const { return settings_.batch; }

 private:
  struct Ask;
  std::vector<Ask> prepare(std::span<const std::string> problems, std::span<const std::string> own_ids, bool labels_only) const;
  std::vector<Expected<ModelAnswer, std::string>> ask(std::vector<Ask>& asks) const;
  Decision weigh(Ask& ask, const Expected<ModelAnswer, std::string>& answer) const;
  const LabelWeights& weights(const LabelCalibration& calibration, bool has_model) const;

  TriageParts parts_;
  TriageSettings settings_;
};

}  // namespace deskhand
