// Training runs side by side: their curves on one figure each, raw and smoothed (Savitzky-Golay, window 9, order 2), and their averages.
// A folder like a report's, and text for the terminal.
#pragma once
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "deskhand/report/charts.h"
#include "deskhand/report/report.h"

namespace deskhand {

// What was written down at each step of a run and at each of its evaluations; all of one kind are as long as one another. A value that was
// no number is NaN.
struct RunCurves {
  std::string name, method, base;  // "lora", "lora", "qwen2.5-coder-0.5b-instruct"
  std::string state;               // "finished", "stopped at step 40"
  std::string data_hash;           // losses of runs on other data or texts cannot be compared
  std::vector<double> epoch, tokens, loss, token_accuracy, grad_norm, learning_rate, entropy;
  double seconds = 0;  // of training so far; 0: not known
  std::vector<std::int64_t> eval_step;
  std::vector<double> eval_epoch, eval_tokens, eval_loss, eval_token_accuracy, eval_entropy;
};

// Means over all steps and over all evaluations, as the thesis project prints them; empty where nothing was recorded.
struct RunAverages {
  std::optional<double> train_loss, token_accuracy, grad_norm, last_train_loss;
  std::optional<double> eval_loss, eval_token_accuracy, eval_entropy;
  std::optional<double> first_eval_loss, best_eval_loss, last_eval_loss, last_eval_token_accuracy;
  std::int64_t best_eval_step = 0;
};
RunAverages averages_of(const RunCurves& run);

// Which run has the lowest validation loss, and what speaks against comparing them.
std::vector<std::string> findings_of(std::span<const RunCurves> runs);

// A row an average, a column a run.
ChartTable averages_table(std::span<const RunCurves> runs);

// Loss, token accuracy, entropy, gradient norm and learning rate, each against the epoch and against the tokens read.
std::vector<Figure> draw_runs(std::span<const RunCurves> runs);

std::string run_comparison_text(std::span<const RunCurves> runs, const SummaryOptions& options = {});
std::string run_comparison_json(std::span<const RunCurves> runs);

// By the rules of write_report; index.html, report.md, metrics.json (run_comparison_json) and charts/*.svg.
void write_run_comparison(const std::filesystem::path& folder, std::span<const RunCurves> runs, const ReportOptions& options = {});

}  // namespace deskhand
