// What is wrong with a desk's tickets, before anybody learns from them. Checks give records; findings_of says what they mean, as sentences
// and as lines for desk.toml that mend it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "deskhand/audit/chi_square.h"
#include "deskhand/base/parallel.h"
#include "deskhand/evaluate/bootstrap.h"
#include "deskhand/tickets/prepare.h"
#include "deskhand/tickets/ticket.h"

namespace deskhand {

enum class LabelField { kCategory, kUrgency };
inline constexpr LabelField kLabelFields[] = {LabelField::kCategory, LabelField::kUrgency};
std::string_view name_of(LabelField field);                    // "category"
std::string label_of(const Ticket& ticket, LabelField field);  // "" where it has none

// ---- classes

struct ClassCount {
  std::string label;
  std::int64_t tickets = 0;
};
struct SimilarClasses {
  ClassCount keep, merge;   // keep: the commoner, of equals the one with small letters
  std::string differ;       // "case", "blanks", "punctuation", "spelling"
  bool is_certain = false;  // false: both are common, so they may be two things that are spelt alike
};
struct ClassAudit {
  LabelField field = LabelField::kCategory;
  std::int64_t missing = 0;             // tickets without
  std::vector<ClassCount> classes;      // the commonest first
  std::vector<SimilarClasses> similar;  // of categories alone
  std::vector<ClassCount> rare;         // fewer tickets than AuditSettings::rare, after the certain merges
};

// ---- columns

struct ColumnAudit {
  std::string file, column;
  std::string field;  // what the mapping reads it as; empty: not read
  std::int64_t rows = 0, filled = 0;
  std::int64_t distinct = 0;  // values, counted up to 10 000
  std::string value;          // the one value of a constant column
  bool is_empty() const { return rows > 0 && filled == 0; }
  bool is_constant() const { return rows > 1 && filled == rows && distinct == 1; }
};

// ---- copies

struct Copies {
  std::vector<std::string> ids;  // in the order of the store; the first stays
};
struct Conflict {  // near-identical problems, labelled differently
  LabelField field = LabelField::kCategory;
  std::vector<std::pair<std::string, std::string>> tickets;  // id, label
  std::string majority;                                      // the label of two thirds and of three tickets at least; empty: there is none
  std::string problem;                                       // of the first
};
struct CopyAudit {
  std::vector<Copies> duplicates;                     // problem, resolution, labels, account and day are the same
  std::int64_t repeats = 0, groups = 0, largest = 0;  // tickets with a near copy; groups they form; the largest of these
  std::string largest_problem;
  std::vector<Conflict> conflicts;  // the largest first
  std::int64_t compared = 0;        // labelled tickets in groups of near-identical problems, categories
};

// ---- prediction: does the text say the label?

enum class Verdict { kPredicts, kSaysSomething, kCannot };
struct ClassPrediction {
  std::string label;
  std::int64_t tickets = 0, right = 0, predicted = 0;
  std::string taken_for;  // the label that it is most often taken for
  std::int64_t taken = 0;
  double f1 = 0;
};
struct PredictionAudit {
  LabelField field = LabelField::kCategory;
  std::string missing;                          // why it was not measured
  std::int64_t tickets = 0, of = 0, folds = 0;  // measured; labelled
  Estimate accuracy, majority, difference;      // TF-IDF + LR, the commonest label of the tickets learnt from; 0..1
  Estimate gain;                                // bits a ticket that the text saves against the labels' shares
  double macro_f1 = 0;
  Verdict verdict = Verdict::kCannot;
  std::vector<ClassPrediction> classes;  // the commonest first
};

// ---- drift and language

struct MonthAudit {
  std::string month;                    // "2024-03"
  std::vector<std::int64_t> urgencies;  // 1..5
  std::int64_t tickets = 0;
  double p = 1;  // of being as the other months, Holm's correction made; 1 for months of fewer than 20 tickets
  bool stands_out = false;
  int urgency = 0;  // that is furthest from the other months
  double share = 0, elsewhere = 0;
};
struct DriftAudit {
  std::string missing;  // why it was not tested
  std::vector<MonthAudit> months;
  std::optional<ChiSquare> test;
  bool by_permutation = false;  // p of the test: too few tickets a month for the formula
  std::int64_t undated = 0;
};
struct LanguageCount {
  std::string code;  // "de", "unknown"
  std::int64_t tickets = 0;
};

// ---- all of it

enum class Severity { kMend, kLook, kNote };
std::string_view name_of(Severity severity);  // "mend", "look", "note"

struct Fix {
  std::string section;             // "import.merge_categories"
  std::vector<std::string> lines;  // TOML of that section
  std::string about;
};
struct Finding {
  std::string id;  // "similar-classes"
  Severity severity = Severity::kNote;
  std::string title;   // a sentence
  std::string advice;  // what to do about it
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;  // the evidence; `more` were left out
  std::int64_t more = 0;
  std::vector<Fix> fixes;
  bool has_texts = false;  // the last column quotes tickets
};

struct AuditSettings {
  std::int64_t rare = 10;      // a class of fewer tickets is rare
  std::int64_t sample = 3000;  // tickets that the prediction is measured on at most
  int folds = 5;
  double near_identical = 0.8;  // share of word sequences in common from which two problems should have one label
  std::uint32_t seed = 42;
  BootstrapSettings bootstrap;
  std::string encoder;  // the desk's, for what is said of languages
  bool quiet = false;
};

struct Audit {
  std::string desk, made, version;
  std::int64_t tickets = 0, without_problem = 0, short_problems = 0;  // short: under four words
  std::vector<ClassAudit> classes;
  std::vector<ColumnAudit> columns;
  CopyAudit copies;
  std::vector<PredictionAudit> predictions;
  DriftAudit drift;
  std::vector<LanguageCount> languages;  // the commonest first
  std::vector<std::string> warnings;     // what could not be looked at
  std::vector<Finding> findings;         // what is to be mended first
  std::string summary;                   // one sentence: what a manager should know
};

ClassAudit audit_classes(std::span<const Ticket> tickets, LabelField field, const AuditSettings& settings);
// Reads the export's files again: only they have the columns that nothing reads. A file that is not there any more is a warning.
std::vector<ColumnAudit> audit_columns(const PrepareSettings& import, std::vector<std::string>& warnings, bool quiet = true);
CopyAudit audit_copies(std::span<const Ticket> tickets, const AuditSettings& settings, ThreadPool& pool);
// Cross-validated; near copies stand in one fold, so that nothing counts as predicted that was learnt by heart.
PredictionAudit audit_prediction(std::span<const Ticket> tickets, LabelField field, const AuditSettings& settings, ThreadPool& pool);
DriftAudit audit_drift(std::span<const Ticket> tickets, const AuditSettings& settings);
std::vector<LanguageCount> audit_languages(std::span<const Ticket> tickets, ThreadPool& pool);

// Everything but desk, made and version. Ctrl-C throws Error(kInterrupted).
Audit audit_desk(std::span<const Ticket> tickets, const PrepareSettings& import, const AuditSettings& settings, ThreadPool& pool);

// From the checks' records; sets findings and summary.
void find(Audit& audit, const PrepareSettings& import, const AuditSettings& settings);

// All proposed lines, to be appended to desk.toml. A section in `present` (those that desk.toml has) cannot be opened twice: its header is
// a comment that says where the lines go. Empty: nothing is proposed.
std::string fixes_toml(const Audit& audit, const std::set<std::string>& present);

}  // namespace deskhand
