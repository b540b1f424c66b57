// What a system answered for a held-out ticket, and what the desk's people had answered. Evaluation reads these records and knows no model.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace deskhand {

// The truth: a closed ticket kept for testing.
struct HeldOutTicket {
  std::string id;
  std::string problem;     // as systems see it
  int urgency = 0;         // 1..5, 0: not known, urgency measures pass the ticket over
  std::string category;    // empty: not known
  std::string resolution;  // empty: not known
  std::string received;    // ISO date, or empty
};

struct FoundCase {
  std::string ticket_id;
  double similarity = 0;  // the retriever's cosine, -1..1
  std::string problem, resolution, category;
  int urgency = 0;
};

// What only an encoder can say of an answer's resolution against the true one; made where the encoder is.
struct EncoderSimilarity {
  double cosine = 0;  // of the two texts' vectors, -1..1
  double bert_precision = 0, bert_recall = 0, bert_f1 = 0;
};

struct Prediction {
  std::string ticket_id;
  std::string ticket_hash;  // SHA-256 of the ticket's texts and labels as they were asked about; empty: not told
  int urgency = 0;          // 1..5; 0: none given, which counts as wrong
  std::string category;     // empty: none given, which counts as wrong
  std::string resolution;
  std::vector<double> urgency_probabilities;    // (5), sum 1; empty: not told
  std::vector<double> category_probabilities;   // (categories of the evaluation), sum 1; empty: not told
  std::vector<FoundCase> cases;                 // best first
  std::optional<double> supported;              // 0..1, share of the resolution's sentences that a cited case supports
  std::optional<EncoderSimilarity> similarity;  // none: no encoder, or a text is empty
  std::optional<double> seconds;                // of this ticket's answer
  std::optional<std::int64_t> prompt_tokens, new_tokens;
  std::string source;         // "model", "case", "none", or a file
  bool model_failed = false;  // the language model gave no answer; such a prediction is not kept for another evaluation
};

// Everything that a system's answers depend on; hashes are SHA-256, empty where the system has no such part.
struct SystemIdentity {
  std::string name;         // "qwen 0.5B, with cases"; unique in an evaluation
  std::string kind;         // "baseline", "raw", "lora", "hybrid", "file"
  std::string description;  // one sentence for readers
  std::string model, model_hash, adapter, adapter_hash, prompt_hash, data_hash;
};

struct SystemAnswers {
  SystemIdentity identity;
  std::vector<Prediction> predictions;  // any order
  std::vector<Prediction> validation;   // labels of tickets outside the test part, for temperature scaling; may be empty
  std::vector<HeldOutTicket> validation_truth;
  std::optional<double> peak_bytes;   // of the process while it answered
  std::vector<std::string> warnings;  // what a reader of its figures must know
};

// All that one split is measured from.
struct SplitRecords {
  std::string name, description;  // "grouped", "grouped, 20 %, seed 42"
  std::int64_t train = 0;         // tickets learnt from
  std::vector<HeldOutTicket> tickets;
  std::vector<std::string> categories;  // the labels that systems choose from: those of the tickets learnt from, sorted
  std::vector<SystemAnswers> systems;
};

}  // namespace deskhand
