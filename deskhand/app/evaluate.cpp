// deskhand evaluate: the desk's systems measured on held-out tickets, beside cheap baselines, with a report.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <set>

#include "deskhand/app/desk_adapter.h"
#include "deskhand/app/evaluated_systems.h"
#include "deskhand/app/evaluation_record.h"
#include "deskhand/app/prediction_file.h"
#include "deskhand/app/shell_word.h"
#include "deskhand/app/training_runs.h"
#include "deskhand/base/clock.h"
#include "deskhand/base/error.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/stopwatch.h"
#include "deskhand/evaluate/measure.h"
#include "deskhand/report/report.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string name;
  ModelChoice models_named;
  std::vector<std::string> systems;      // by name; none: all
  std::vector<std::string> splits;       // beside the desk's own; none: the settings'
  std::vector<std::string> predictions;  // NAME=FILE
  std::int64_t limit = 0;
  bool models = true, all_splits = false, texts = true, force = false, redo = false;
};

// "2024-03-01", or "2024-03-01-2" where that is taken.
std::string free_name(PredictionStore& store) {
  const std::string day = utc_now().substr(0, 10);
  std::string name = day;
  for (int number = 2; !store.evaluation(name).empty(); ++number) name = fmt::format("{}-{}", day, number);
  return name;
}

// It becomes a folder beside the evaluations' own files.
void check_name(const std::string& name) {
  const bool is_plain = std::all_of(name.begin(), name.end(), [](const char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
  if (!is_plain || name.front() == '.' || name == "cases" || name.starts_with("vectors.db"))
    throw Error(ExitCode::kUsage, "an evaluation cannot be called '{}'; wanted are letters, digits, '_', '-' and '.'", name);
}

// What repeats this evaluation; shown in its report.
std::string command_of(const Desk& desk, const Options& options) {
  std::string command = fmt::format("deskhand --desk {} evaluate --name {}", shell_word(desk.folder.filename().string()), options.name);
  const auto add = [&](const char* option, const std::string& value) {
    command += fmt::format(" {}", option);
    if (!value.empty()) command += " " + shell_word(value);
  };
  for (const auto& system : options.systems) add("--systems", system);
  for (const auto& split : options.splits) add("--splits", split);
  for (const auto& file : options.predictions) add("--predictions", file);
  if (options.limit > 0) add("--limit", std::to_string(options.limit));
  if (!options.models_named.decoder.empty()) add("--decoder", options.models_named.decoder);
  if (!options.models_named.adapter.empty()) add("--adapter", options.models_named.adapter);
  if (!options.models) add("--no-models", "");
  if (options.all_splits) add("--all-splits", "");
  return command;
}

MeasureSettings measure_settings(const EvaluateSettings& settings) {
  return {.resamples = settings.resamples,
          .seed = static_cast<std::uint64_t>(settings.seed),
          .costs = {.under = settings.urgency_costs, .over = settings.too_urgent_cost},
          .above = settings.above};
}

std::vector<SystemSettings> chosen_systems(const DeskSettings& settings, const Options& options) {
  std::vector<SystemSettings> systems = options.models ? systems_of(settings) : std::vector<SystemSettings>{};
  if (!options.systems.empty()) {
    for (const std::string& name : options.systems)
      if (std::none_of(systems.begin(), systems.end(), [&](const auto& system) { return system.name == name; }))
        throw Error(ExitCode::kUsage, "no system is called '{}'; see section [[evaluate.systems]] of desk.toml", name);
    std::erase_if(systems, [&](const SystemSettings& system) {
      return std::find(options.systems.begin(), options.systems.end(), system.name) == options.systems.end();
    });
  }
  for (const std::string& named : options.predictions) {
    const auto equals = named.find('=');
    const std::string file = equals == std::string::npos ? named : named.substr(equals + 1);
    if (!fs::exists(file)) throw Error(ExitCode::kNotFound, "there is no file {}", file);
    systems.push_back({.name = equals == std::string::npos ? fs::path(file).stem().string() : named.substr(0, equals),
                       .kind = "file",
                       .predictions = file});
  }
  // Before any model is run: hours later is too late to hear of a name or a file.
  std::set<std::string> names = {"majority", "kNN votes", "TF-IDF + LR", "MiniLM + LR"};
  for (const SystemSettings& system : systems) {
    if (!names.insert(system.name).second)
      throw Error(ExitCode::kUsage, "two systems are called '{}'; give each a name of its own", system.name);
    if (!system.predictions.empty()) read_predictions(system.predictions);
  }
  return systems;
}

// A desk without dates has no split by time: told in `not_measured`, unless that is null, then it ends the command.
std::vector<EvaluationSplit> make_splits(const EvaluationRun& run, const std::vector<std::string>& names, const EvaluationScope& scope,
                                         std::vector<std::string>* not_measured) {
  std::vector<EvaluationSplit> splits;
  for (const std::string& name : names) {
    try {
      splits.push_back(make_evaluation_split(run.desk, name, scope, run.encoder, run.vectors, run.engine.pool));
    } catch (const Error& error) {
      if (error.code() != ExitCode::kUsage || name == "desk" || !not_measured) throw;
      not_measured->push_back(fmt::format("The split '{}' is not measured: {}.", name, error.what()));
    }
  }
  return splits;
}

// Of the runs that made what was measured: an adapter, or a whole model. A run that cannot be read is told, hours of answers are not lost.
void add_training(Evaluation& evaluation, const Desk& desk, std::span<const SplitRecords> records,
                  std::span<const SystemSettings> settings) {
  std::vector<std::string> names;
  for (const SplitRecords& split : records)
    for (const SystemAnswers& system : split.systems) names.push_back(system.identity.adapter);
  for (const SystemSettings& system : settings)
    if (fs::exists(system.decoder)) names.push_back(system.decoder);
  std::set<fs::path> seen;
  for (const std::string& name : names) {
    const auto run = find_run(desk.folder, name);
    if (!run || !seen.insert(fs::weakly_canonical(*run)).second) continue;
    try {
      evaluation.training.push_back(loss_curve_of(read_training_run(*run)));
    } catch (const Error& error) {
      evaluation.splits.front().warnings.push_back(fmt::format("The curves of the training run {} are missing: {}.", name, error.what()));
    }
  }
}

void evaluate(const Globals& globals, Options options) {
  const Stopwatch watch;
  Desk desk = Desk::open(globals);
  options.models_named.apply(desk.settings.models);
  PredictionStore store(desk.database);
  if (options.name.empty()) options.name = free_name(store);
  check_name(options.name);
  const fs::path folder = evaluation_folder(desk, options.name);
  if (fs::exists(folder / "report") && !options.force)
    throw Error(ExitCode::kCannotWrite, "the evaluation '{}' is there already; --force measures it anew, or give another --name",
                options.name);
  const auto settings = chosen_systems(desk.settings, options);
  std::vector<std::string> names = {"desk"};
  const auto& others = options.splits.empty() ? desk.settings.evaluate.splits : options.splits;
  for (const std::string& name : others)
    if (name != "none" && name != "desk") names.push_back(name);

  Engine engine(globals, desk.settings.compute);
  const auto encoder = DeskEncoder::load(desk, globals, engine.models);
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), failure.message());
  const auto vectors =
      encoder ? std::make_unique<VectorCache>(desk.folder / "evaluations" / "vectors.db", encoder->embedder(), encoder->id(), globals.quiet)
              : nullptr;
  const EvaluationRun run{desk, globals, engine, encoder.get(), vectors.get(), store, options.redo};

  const MeasureSettings measure = measure_settings(desk.settings.evaluate);
  EvaluationRecord record{.texts = options.texts};
  record.evaluation = {.name = options.name,
                       .desk = desk.settings.name,
                       .made = utc_now(),
                       .version = DESKHAND_VERSION,
                       .measures = measure_list(measure),
                       .resamples = measure.resamples,
                       .seed = static_cast<std::uint32_t>(measure.seed),
                       .urgency_costs = measure.costs.under,
                       .above = measure.above,
                       .relevant_similarity = desk.settings.evaluate.relevant_similarity};
  const std::int64_t validation = desk.settings.evaluate.validation;
  const EvaluationScope scope{
      .limit = options.limit, .validation = options.limit > 0 ? std::min(options.limit, validation) : validation, .quiet = globals.quiet};
  std::vector<std::vector<std::string>> keys;
  std::vector<std::string> not_measured;
  std::vector<EvaluationSplit> splits = make_splits(run, names, scope, options.splits.empty() ? &not_measured : nullptr);
  for (EvaluationSplit& split : splits) {
    const std::string& name = split.name;
    std::vector<EvaluatedSystem> systems = run_baselines(run, split);
    for (const SystemSettings& system : settings) {
      // Language models take seconds a ticket, and a file's answers may have been made for one split: they are measured on the desk's own
      // alone, unless more is asked for.
      if (name != "desk" && !options.all_splits) continue;
      systems.push_back(system.predictions.empty() ? run_decoder(run, split, system) : read_system(run, split, system));
    }
    compare_resolutions(run, split, systems);
    SplitRecords records{.name = name,
                         .description = split.description,
                         .train = static_cast<std::int64_t>(split.train.size()),
                         .categories = split.categories};
    for (const Ticket& ticket : split.test) records.tickets.push_back(held_out(ticket));
    keys.emplace_back();
    for (EvaluatedSystem& system : systems) {
      keys.back().push_back(system.key);
      records.systems.push_back(std::move(system.answers));
    }
    SplitResult result = measure_split(records, measure, engine.pool);
    result.leakage = split.leakage;
    result.warnings.insert(result.warnings.end(), split.warnings.begin(), split.warnings.end());
    if (name == "desk") result.warnings.insert(result.warnings.end(), not_measured.begin(), not_measured.end());
    result.retrieval = measure_channels(run, split, result.relevant_queries, result.warnings);
    if (name == "desk") write_predictions(folder / "results", records, result, record.evaluation.measures);
    record.splits.push_back(std::move(records));
    record.evaluation.splits.push_back(std::move(result));
  }
  add_training(record.evaluation, desk, record.splits, settings);
  record.evaluation.findings = findings(record.evaluation);
  keep_evaluation(store, record, keys);
  write_report(folder / "report", record.evaluation, record.splits,
               {.texts = options.texts, .force = options.force, .commands = {command_of(desk, options)}});
  if (globals.json) {
    fmt::print("{}", write_evaluation(record.evaluation));
    return;
  }
  fmt::print("{}\nMeasured in {}. The report: {}\nAnswers, one table a system: {}\n", summary_text(record.evaluation),
             human_duration(watch.seconds()), (folder / "report" / "index.html").string(), (folder / "results").string());
}

}  // namespace

std::function<void()> declare_evaluate(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("--name", options->name, "of the evaluation; today's date if not given");
  sub.add_option("--systems", options->systems, "only these of the settings' systems; the baselines are always there")->delimiter(';');
  sub.add_option("--splits", options->splits, "beside the desk's own: random, grouped, time; or none")
      ->delimiter(',')
      ->check(CLI::IsMember({"random", "grouped", "time", "none"}));
  sub.add_option("--predictions", options->predictions,
                 "NAME=FILE: measure answers made elsewhere, a table with ticket_id, urgency, "
                 "category, resolution");
  sub.add_option("--limit", options->limit, "at most so many held-out and validation tickets, drawn at random")
      ->check(CLI::Range(1, 1000000000));
  options->models_named.declare(sub, "another model than desk.toml's, where it names no systems; none: the baselines alone");
  sub.add_flag("!--no-models", options->models, "the baselines alone, in seconds");
  sub.add_flag("--all-splits", options->all_splits,
               "measure language models and files of predictions on every split, not on the desk's own alone");
  sub.add_flag("!--no-texts", options->texts, "leave the tickets' texts out of the report");
  sub.add_flag("--redo", options->redo, "ask the models again, also where their answers are kept");
  sub.add_flag("--force", options->force, "measure anew under a name that is there");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk evaluate\n  deskhand --desk mydesk evaluate --no-models\n  deskhand --desk mydesk evaluate "
      "--limit 50 --predictions gpt=answers.csv\nAn evaluation that was interrupted goes on where it stopped. Systems, costs and splits "
      "stand in desk.toml, section [evaluate].");
  return [options, &globals] { evaluate(globals, *options); };
}

}  // namespace deskhand
