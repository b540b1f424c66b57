#include "deskhand/app/training_runs.h"

#include <algorithm>
#include <cmath>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"

namespace deskhand {

namespace fs = std::filesystem;

std::string TrainingRun::state() const {
  if (!fault.empty()) return "unreadable";
  if (!info.finished.empty()) return "finished";
  return log.steps.empty() ? "no step taken" : fmt::format("at step {}", log.steps.back().step);
}

fs::path run_folder(const fs::path& desk_folder, const std::string& name) {
  const bool is_plain = !name.empty() && std::all_of(name.begin(), name.end(), [](const char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
  if (!is_plain || name.front() == '.' || name.starts_with("cases.db"))
    throw Error(ExitCode::kUsage, "a run cannot be called '{}'; wanted are letters, digits, '_', '-' and '.'", name);
  return desk_folder / "runs" / name;
}

std::optional<fs::path> find_run(const fs::path& desk_folder, std::string_view name_or_path) {
  if (name_or_path.empty()) return std::nullopt;
  const fs::path path(name_or_path);
  for (const fs::path& candidate : {desk_folder / "runs" / path, desk_folder / path, path}) {
    if (!fs::is_directory(candidate)) continue;
    for (const fs::path& root : {candidate, candidate.parent_path()})
      if (fs::is_regular_file(root / "run.json")) return root;
  }
  return std::nullopt;
}

TrainingRun read_training_run(const fs::path& root) {
  const RunFolder folder = open_run_folder(root);
  TrainingRun run{.folder = folder, .info = read_run_info(folder.info())};
  if (fs::exists(folder.log())) run.log = read_run_log(folder.log());
  return run;
}

void write_tickets(const RunFolder& folder, std::span<const std::string> learnt, std::span<const std::string> validation) {
  Json json = {{"learnt", Json::array()}, {"validation", Json::array()}};
  for (const std::string& id : learnt) json["learnt"].push_back(id);
  for (const std::string& id : validation) json["validation"].push_back(id);
  write_file_atomically(folder.tickets(), write_json(json) + "\n");
}

std::set<std::string> learnt_tickets(const RunFolder& folder) {
  std::set<std::string> ids;
  if (!fs::exists(folder.tickets())) return ids;
  const std::string where = folder.tickets().string();
  const Json json = parse_json(read_text_file(folder.tickets()), where);
  const auto learnt = json.find("learnt");
  if (learnt == json.end() || !learnt->is_array())
    throw Error(ExitCode::kBadInput, "{}: a list \"learnt\" of ticket ids was expected", where);
  for (const Json& id : *learnt) {
    if (!id.is_string()) throw Error(ExitCode::kBadInput, "{}: {} is no ticket id; wanted is a text", where, write_json(id).substr(0, 60));
    ids.insert(id.get<std::string>());
  }
  return ids;
}

std::vector<TrainingRun> training_runs(const fs::path& desk_folder) {
  std::vector<TrainingRun> runs;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(desk_folder / "runs", none))
    if (fs::is_regular_file(entry.path() / "run.json")) try {
        runs.push_back(read_training_run(entry.path()));
      } catch (const Error& error) {
        runs.push_back({.folder = {entry.path()}, .info = {.name = entry.path().filename().string()}, .log = {}, .fault = error.what()});
      }
  std::sort(runs.begin(), runs.end(), [](const TrainingRun& a, const TrainingRun& b) {
    return a.info.started != b.info.started ? a.info.started > b.info.started : a.info.name < b.info.name;
  });
  return runs;
}

RunCurves curves_of(const TrainingRun& run) {
  RunCurves curves{.name = run.info.name,
                   .method = run.info.method,
                   .base = fs::path(run.info.base_model).filename().string(),
                   .state = run.state(),
                   .data_hash = run.info.data_hash};
  std::int64_t before = 0;
  for (const StepRecord& step : run.log.steps) {
    curves.epoch.push_back(step.epoch);
    curves.tokens.push_back(static_cast<double>(step.num_tokens));
    curves.loss.push_back(step.loss);
    curves.token_accuracy.push_back(step.mean_token_accuracy);
    curves.grad_norm.push_back(step.grad_norm);
    curves.learning_rate.push_back(step.learning_rate);
    curves.entropy.push_back(step.entropy);
    if (step.tokens_per_second > 0) curves.seconds += static_cast<double>(step.num_tokens - before) / step.tokens_per_second;
    before = step.num_tokens;
  }
  for (const EvalRecord& evaluation : run.log.evaluations) {
    curves.eval_step.push_back(evaluation.step);
    curves.eval_epoch.push_back(evaluation.epoch);
    curves.eval_tokens.push_back(static_cast<double>(evaluation.num_tokens));
    curves.eval_loss.push_back(evaluation.loss);
    curves.eval_token_accuracy.push_back(evaluation.mean_token_accuracy);
    curves.eval_entropy.push_back(evaluation.entropy);
  }
  return curves;
}

LossCurve loss_curve_of(const TrainingRun& run) {
  const RunCurves curves = curves_of(run);
  LossCurve curve{.run = curves.name, .method = curves.method};
  const auto keep = [](const std::vector<double>& epoch, const std::vector<double>& loss, std::vector<double>& epochs,
                       std::vector<double>& losses) {
    for (std::size_t i = 0; i < loss.size(); ++i)
      if (std::isfinite(epoch[i]) && std::isfinite(loss[i])) epochs.push_back(epoch[i]), losses.push_back(loss[i]);
  };
  keep(curves.epoch, curves.loss, curve.epoch, curve.loss);
  keep(curves.eval_epoch, curves.eval_loss, curve.eval_epoch, curve.eval_loss);
  return curve;
}

}  // namespace deskhand
