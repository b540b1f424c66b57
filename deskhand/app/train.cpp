// deskhand train RECIPE: a model fine-tuned on the desk's closed tickets. A run is a folder of the desk, runs/NAME.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "deskhand/app/model_hash.h"
#include "deskhand/app/recipe.h"
#include "deskhand/app/shell_word.h"
#include "deskhand/app/tokenizer_files.h"
#include "deskhand/app/training_runs.h"
#include "deskhand/app/training_set.h"
#include "deskhand/base/atomic_file.h"
#include "deskhand/base/clock.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"
#include "deskhand/fetch/catalogue.h"
#include "deskhand/report/words.h"
#include "deskhand/train/adapter.h"
#include "deskhand/train/frozen_base.h"
#include "deskhand/train/model_card.h"
#include "deskhand/train/trainer.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string recipe, name, model;
  std::vector<std::string> settings;  // key=value
  std::int64_t limit = 0;
  bool resume = false, overwrite = false, dry_run = false, list = false;
};

// The command line that goes on with this run, or does it again.
std::string command_of(const Globals& globals, const Options& options) {
  std::string command =
      fmt::format("deskhand --desk {} train {} --name {}", shell_word(globals.desk.string()), shell_word(options.recipe), options.name);
  for (const std::string& setting : options.settings) command += fmt::format(" --set {}", shell_word(setting));
  if (!options.model.empty()) command += fmt::format(" --model {}", shell_word(options.model));
  if (options.limit > 0) command += fmt::format(" --limit {}", options.limit);
  return command;
}

// Everything a run is made of, read once.
struct Job {
  Desk desk;
  Recipe recipe;
  std::string model_name;
  fs::path model;
  Engine engine;
  Decoder decoder;
  LoadedTokenizer tokenizer;
  TrainingSet set;

  TrainingData data() const { return {.training = set.training, .validation = set.validation}; }
};

Recipe begun_recipe(const RunFolder& folder, const RunInfo& info) {
  return read_recipe(read_text_file(folder.recipe(), std::size_t{1} << 20), info.recipe_name, folder.recipe().string(), {});
}

// The recipe that a run was begun with, where --resume names no other.
Recipe chosen_recipe(const Desk& desk, Options& options) {
  const bool as_begun = options.resume && options.recipe.empty() && options.settings.empty();
  if (options.recipe.empty()) options.recipe = "lora";
  if (!as_begun) return load_recipe(options.recipe, options.settings);
  const RunFolder folder = open_run_folder(run_folder(desk.folder, options.name.empty() ? options.recipe : options.name));
  const RunInfo info = read_run_info(folder.info());
  if (options.name.empty()) options.name = info.name;
  if (options.model.empty()) options.model = info.base_model;
  options.recipe = folder.recipe().string();
  return begun_recipe(folder, info);
}

void check_context(const Recipe& recipe, const Decoder& decoder, const std::string& model) {
  if (recipe.data.max_tokens > decoder.config().max_positions)
    throw Error(ExitCode::kUsage, "data.max_tokens is {}, but {} reads at most {} tokens; add --set data.max_tokens={}",
                recipe.data.max_tokens, model, decoder.config().max_positions, decoder.config().max_positions);
}

TrainingSet read_set(Desk& desk, const Globals& globals, const Recipe& recipe, const Options& options, const LoadedTokenizer& tokenizer,
                     Engine& engine) {
  const bool shows_cases = recipe.data.format == TrainingFormat::kTriage && recipe.data.cases > 0;
  const auto encoder = shows_cases ? DeskEncoder::load(desk, globals, engine.backend) : nullptr;
  std::unique_ptr<VectorCache> vectors;
  if (encoder) {
    const fs::path folder = desk.folder / "evaluations";  // evaluation keeps vectors of the same texts there
    std::error_code failure;
    fs::create_directories(folder, failure);
    if (failure) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), failure.message());
    vectors = std::make_unique<VectorCache>(folder / "vectors.db", encoder->embedder(), encoder->id(), globals.quiet);
  }
  return make_training_set(desk, recipe, {.limit = options.limit, .quiet = globals.quiet}, encoder.get(), vectors.get(),
                           *tokenizer.tokenizer, tokenizer.chat ? &*tokenizer.chat : nullptr, engine.pool);
}

std::int64_t all_parameters(const DecoderConfig& config) {
  return count_parameters(config, Method::kFull, {});
}

RunInfo info_of(Job& job, const Options& options, const TrainingPlan& plan) {
  const TrainingSet& set = job.set;
  return {.name = options.name,
          .method = std::string(name_of(job.recipe.method)),
          .base_model = job.model_name,
          .base_hash = model_hash(job.desk.database, job.model),
          .recipe_name = job.recipe.name,
          .recipe_hash = sha256(write_recipe(job.recipe)),
          .data = fmt::format("desk '{}', {} of {} tickets to learn from", job.desk.settings.name, set.examples(), set.tickets),
          .data_hash = set.hash,
          .version = DESKHAND_VERSION,
          .started = utc_now(),
          .train_examples = static_cast<std::int64_t>(set.training.size()),
          .validation_examples = static_cast<std::int64_t>(set.validation.size()),
          .trained_parameters = plan.trained_parameters,
          .all_parameters = all_parameters(job.decoder.config())};
}

// ---- what is said before ---------------------------------------------------------------------------------------------------------------

std::string about_data(const TrainingSet& set, const Recipe& recipe) {
  std::string text =
      fmt::format("{} tickets to learn from: {} to train on, {} for evaluation during training\n", grouped(set.tickets),
                  grouped(static_cast<std::int64_t>(set.training.size())), grouped(static_cast<std::int64_t>(set.validation.size())));
  if (set.kept_apart > 0)
    text += fmt::format("  {} kept apart: label weights and temperature are fitted on them\n", grouped(set.kept_apart));
  for (const auto& [why, tickets] : set.cannot_teach) text += fmt::format("  {} cannot teach: {}\n", grouped(tickets), why);
  if (set.cut.examples > 0)
    text += fmt::format("  {} were longer than {} tokens and were cut, {} of them in their answer; the longest had {}\n", set.cut.examples,
                        recipe.data.max_tokens, set.cut.answers, set.cut.longest_tokens);
  if (set.cases_shown > 0)
    text += fmt::format("  {} past cases shown, {} of them shortened; {} tickets have none\n", grouped(set.cases_shown),
                        grouped(set.cases_shortened), grouped(set.without_cases));
  for (const std::string& warning : set.warnings) text += "  " + warning + "\n";
  return text;
}

// Forward and backward are three times a forward pass of a dense model; with frozen matrices two. Between them lies evaluation's share.
constexpr double kForwardShare = 0.4;

double seconds_of(const TrainingPlan& plan, const TrainingSet& set, const Recipe& recipe, double pass_s) {
  const double passes_a_step = static_cast<double>(plan.passes_in_epoch) / static_cast<double>(plan.steps_in_epoch);
  const double tokens_a_pass = static_cast<double>(plan.tokens_in_epoch) / static_cast<double>(plan.passes_in_epoch);
  double tokens = 0;
  for (const Example& example : set.validation) tokens += example.size();
  const double every = static_cast<double>(recipe.run.evaluate_every > 0 ? recipe.run.evaluate_every : plan.steps_in_epoch);
  const double evaluations = 1 + std::floor(static_cast<double>(plan.steps) / every);
  return pass_s * (static_cast<double>(plan.steps) * passes_a_step + kForwardShare * evaluations * tokens / tokens_a_pass);
}

constexpr std::int64_t kScratch = 1536ll << 20;  // of a GPU: logits at a time, panels of weights, cuBLASLt's workspace

std::int64_t free_on_gpu(const Backend& on) {
  return on.kind == Backend::Kind::kCuda ? static_cast<std::int64_t>(on.cuda->free_bytes()) : 0;
}

// Of a recipe that leaves it open; a run keeps what it was begun with.
std::int32_t chosen_pass_tokens(const Job& job, const Options& options) {
  if (!options.resume)
    return pass_tokens_for(job.engine.models, job.decoder, job.data(), job.recipe, free_on_gpu(job.engine.models) - kScratch);
  const RunFolder folder = open_run_folder(run_folder(job.desk.folder, options.name));
  return begun_recipe(folder, read_run_info(folder.info())).data.pass_tokens;
}

// Before the GPU runs out of memory: what training needs there, and with which settings it would fit.
void check_memory(const Job& job, const TrainingPlan& plan) {
  const Backend& on = job.engine.models;
  if (on.kind != Backend::Kind::kCuda) return;
  const std::int64_t free = free_on_gpu(on);
  if (plan.bytes() + kScratch <= free) return;
  const auto changes = settings_that_fit(on, job.decoder, job.data(), job.recipe, free - kScratch);
  throw Error(ExitCode::kTooLarge, "training takes some {} of memory on the GPU, which has {} free; {}",
              human_bytes(static_cast<double>(plan.bytes() + kScratch)), human_bytes(static_cast<double>(free)),
              changes.empty() ? "no smaller pass would fit: take a smaller model, or --device cpu"
                              : fmt::format("it fits with --set {}", fmt::join(changes, " --set ")));
}

void dry_run(Job& job, const Globals& globals, const Options& options, const TrainingPlan& plan) {
  const double pass_s = time_of_pass(job.engine.models, job.decoder, job.data(), job.recipe);
  const double seconds = seconds_of(plan, job.set, job.recipe, pass_s);
  const std::int64_t memory = plan.bytes(), all = all_parameters(job.decoder.config());
  if (globals.json) {
    Json faults = Json::object();
    for (const auto& [why, tickets] : job.set.cannot_teach) faults[why] = tickets;
    const Json json = {
        {"name", options.name},
        {"recipe", job.recipe.name},
        {"method", std::string(name_of(job.recipe.method))},
        {"model", job.model_name},
        {"tickets", job.set.tickets},
        {"train_examples", job.set.training.size()},
        {"validation_examples", job.set.validation.size()},
        {"validation_tickets", job.set.validation_tickets},
        {"kept_apart", job.set.kept_apart},
        {"cannot_teach", faults},
        {"cut",
         {{"examples", job.set.cut.examples},
          {"answers", job.set.cut.answers},
          {"tokens", job.set.cut.tokens},
          {"longest_tokens", job.set.cut.longest_tokens}}},
        {"cases_shown", job.set.cases_shown},
        {"cases_shortened", job.set.cases_shortened},
        {"without_cases", job.set.without_cases},
        {"steps", plan.steps},
        {"steps_in_epoch", plan.steps_in_epoch},
        {"passes_in_epoch", plan.passes_in_epoch},
        {"tokens_in_epoch", plan.tokens_in_epoch},
        {"target_tokens_in_epoch", plan.target_tokens_in_epoch},
        {"trained_parameters", plan.trained_parameters},
        {"all_parameters", all},
        {"memory_bytes", {{"base", plan.frozen_bytes}, {"trained", plan.trained_bytes}, {"pass", plan.pass_bytes}, {"all", memory}}},
        {"pass_s", pass_s},
        {"seconds", seconds},
        {"warnings", job.set.warnings},
        {"data_hash", job.set.hash}};
    fmt::print("{}\n", write_json(json, 2));
    return;
  }
  fmt::print("{}", about_data(job.set, job.recipe));
  fmt::print("steps    {}: {} an epoch, {:.1f} passes each\n", grouped(plan.steps), grouped(plan.steps_in_epoch),
             static_cast<double>(plan.passes_in_epoch) / static_cast<double>(plan.steps_in_epoch));
  fmt::print("tokens   {} an epoch, {} of them to be predicted\n", grouped(plan.tokens_in_epoch), grouped(plan.target_tokens_in_epoch));
  fmt::print("trained  {} of {} parameters ({:.2f} %)\n", grouped(plan.trained_parameters), grouped(all),
             100 * static_cast<double>(plan.trained_parameters) / static_cast<double>(all));
  const auto bytes = [](std::int64_t count) { return human_bytes(static_cast<double>(count)); };
  fmt::print("memory   {}: {} the base as it stays, {} what is trained with gradients and moments, {} one pass\n", bytes(memory),
             bytes(plan.frozen_bytes), bytes(plan.trained_bytes), bytes(plan.pass_bytes));
  fmt::print("time     about {}; one pass took {:.2g} s\n", human_duration(seconds), pass_s);
  fmt::print("Nothing was trained. To begin: {}\n", command_of(globals, options));
}

// ---- the run ---------------------------------------------------------------------------------------------------------------------------

// What is told while it runs. The progress line is made at the first step, which says how many there are.
class Watch {
 public:
  Watch(std::string name, bool quiet) : name_(std::move(name)), quiet_(quiet) {}

  TrainingWatch callbacks() {
    return {.stepped = [this](const StepRecord& record, std::int64_t total) { step(record, total); },
            .evaluated = [this](const EvalRecord& record, bool is_best) { evaluation(record, is_best); },
            .warned = [this](std::string_view text) { warnings.emplace_back(text), say(fmt::format("warning: {}", text)); },
            .should_stop = [] { return interrupted(); }};
  }
  void finish() {
    if (progress_) progress_->finish(note_);
  }

  std::vector<std::string> warnings;

 private:
  void step(const StepRecord& record, std::int64_t total) {
    if (!progress_)
      progress_ = std::make_unique<Progress>(
          Progress::Options{.what = "training " + name_, .unit = "steps", .total = total, .already = record.step - 1, .quiet = quiet_});
    note_ = fmt::format("{:.0f} tokens/s, loss {:.3f}", record.tokens_per_second, record.loss);
    progress_->advance(1, note_);
  }
  void evaluation(const EvalRecord& record, bool is_best) {
    say(fmt::format("step {}: validation loss {:.4f}, token accuracy {:.3f}, entropy {:.3f}{}", record.step, record.loss,
                    record.mean_token_accuracy, record.entropy, is_best ? ", the best so far" : ""));
  }
  void say(const std::string& line) {
    if (progress_)
      progress_->say(line);
    else if (!quiet_)
      fmt::print(stderr, "{}\n", line);
  }

  std::string name_, note_;
  bool quiet_;
  std::unique_ptr<Progress> progress_;
};

ModelCard card_of(const Job& job, const Globals& globals, const TrainingOutcome& outcome, std::vector<std::string> warnings) {
  ModelCard card{.info = outcome.info,
                 .recipe = job.recipe,
                 .steps = outcome.state.step,
                 .num_tokens = outcome.state.num_tokens,
                 .skipped = outcome.state.skipped,
                 .seconds = outcome.state.seconds,
                 .cut = job.set.cut,
                 .last_step = outcome.last_step,
                 .first_evaluation = outcome.first_evaluation,
                 .best_evaluation = outcome.best_evaluation,
                 .mean_train_loss = outcome.mean_train_loss,
                 .mean_train_accuracy = outcome.mean_train_accuracy};
  const Catalogue catalogue = Catalogue::load(globals.models);
  if (const ModelEntry* entry = catalogue.find(job.model_name)) card.base_licence = entry->licence;
  card.warnings = job.set.warnings;
  card.warnings.insert(card.warnings.end(), warnings.begin(), warnings.end());
  return card;
}

void print_outcome(const Job& job, const Globals& globals, const RunFolder& folder, const TrainingOutcome& outcome) {
  const bool is_full = job.recipe.method == Method::kFull;
  const fs::path result = is_full ? folder.model() : folder.adapter();
  const auto loss = [](const std::optional<EvalRecord>& e) { return e ? Json(e->loss) : Json(); };
  if (globals.json) {
    fmt::print("{}\n", write_json({{"name", outcome.info.name},
                                   {"method", outcome.info.method},
                                   {"stopped_early", outcome.end == TrainingOutcome::End::kStoppedEarly},
                                   {"steps", outcome.state.step},
                                   {"skipped", outcome.state.skipped},
                                   {"num_tokens", outcome.state.num_tokens},
                                   {"seconds", outcome.state.seconds},
                                   {"mean_train_loss", outcome.mean_train_loss},
                                   {"mean_token_accuracy", outcome.mean_train_accuracy},
                                   {"first_eval_loss", loss(outcome.first_evaluation)},
                                   {"best_eval_loss", loss(outcome.best_evaluation)},
                                   {"best_eval_step", outcome.best_evaluation ? Json(outcome.best_evaluation->step) : Json()},
                                   {"result", result.string()}}));
    return;
  }
  fmt::print(
      "{} {} after {} steps, {} tokens in {}\n", outcome.info.name,
      outcome.end == TrainingOutcome::End::kStoppedEarly ? "stopped early, since its evaluations no longer got better," : "is trained",
      grouped(outcome.state.step), grouped(outcome.state.num_tokens), human_duration(outcome.state.seconds));
  fmt::print("training loss {:.3f}, token accuracy {:.3f} on the mean of all steps\n", outcome.mean_train_loss,
             outcome.mean_train_accuracy);
  if (outcome.first_evaluation && outcome.best_evaluation)
    fmt::print("validation loss {:.3f} before, {:.3f} at its best (step {}); token accuracy {:.3f} and {:.3f}\n",
               outcome.first_evaluation->loss, outcome.best_evaluation->loss, outcome.best_evaluation->step,
               outcome.first_evaluation->mean_token_accuracy, outcome.best_evaluation->mean_token_accuracy);
  fmt::print("The {}: {}\n", is_full ? "model" : "adapter", result.string());
  fmt::print("Next, what it is worth on held-out tickets: deskhand --desk {} evaluate --{} {}\n", shell_word(globals.desk.string()),
             is_full ? "decoder" : "adapter", is_full ? shell_word(folder.model().string()) : outcome.info.name);
}

// What a run that was begun before must share with this one; the checkpoint says the same of hashes, this says which setting it was.
void check_same(const RunInfo& before, const RunInfo& now, const RunFolder& folder) {
  if (before.identity() == now.identity()) return;
  const char* what = before.base_hash != now.base_hash ? "the base model is another"
                     : before.recipe_hash != now.recipe_hash
                         ? "the recipe's settings are others"
                         : "the tickets, or the texts made of them, are others (--limit, the split, the desk's settings)";
  throw Error(ExitCode::kUsage,
              "{} cannot be gone on with: {} than when it was begun ({}, {}); begin anew with --overwrite or another --name",
              folder.root.string(), what, before.base_model, before.data);
}

void run(Job& job, const Globals& globals, const Options& options, const TrainingPlan& plan) {
  RunInfo info = info_of(job, options, plan);
  const fs::path root = run_folder(job.desk.folder, options.name);
  const RunFolder folder = options.resume ? open_run_folder(root) : make_run_folder(root, options.overwrite);
  if (options.resume) {
    const RunInfo before = read_run_info(folder.info());
    check_same(before, info, folder);
    if (!before.finished.empty() && fs::exists(folder.card())) {  // the card is written last
      fmt::print("{} is finished since {}; nothing is left to do\n", before.name, before.finished);
      return;
    }
    info.started = before.started;
  } else {
    write_file_atomically(folder.recipe(), write_recipe(job.recipe));
    write_tickets(folder, job.set.training_tickets, job.set.validation_tickets);
    write_run_info(folder.info(), info);
  }
  if (!globals.quiet) fmt::print(stderr, "{}", about_data(job.set, job.recipe));
  Watch watch(options.name, globals.quiet);
  const TrainingOutcome outcome =
      run_training(job.engine.models, job.decoder, job.data(), job.recipe, folder, info, options.resume, watch.callbacks());
  watch.finish();
  if (outcome.end == TrainingOutcome::End::kInterrupted)
    throw Error(ExitCode::kInterrupted, "interrupted {}. To go on: {} --resume",
                outcome.state.step > 0 ? fmt::format("at step {} of {}; what was learnt is kept", outcome.state.step, plan.steps)
                                       : "before the first step",
                command_of(globals, options));
  if (job.recipe.method == Method::kFull)  // used without its base, so it needs the base's tokenizer
    if (std::string fault = write_tokenizer_files(job.decoder, job.model, folder.model()); !fault.empty())
      watch.warnings.push_back(fault + "; put one there before the model is used");
  write_file_atomically(folder.card(), write_model_card(card_of(job, globals, outcome, watch.warnings)));
  print_outcome(job, globals, folder, outcome);
}

void list_runs(const Globals& globals) {
  const Desk desk = Desk::open(globals, Database::Mode::kReadOnly);
  const std::vector<TrainingRun> runs = training_runs(desk.folder);
  if (globals.json) {
    Json rows = Json::array();
    for (const TrainingRun& run : runs) {
      const RunAverages averages = averages_of(curves_of(run));
      rows.push_back({{"name", run.info.name},
                      {"method", run.info.method},
                      {"base", run.info.base_model},
                      {"state", run.state()},
                      {"steps", run.log.steps.empty() ? 0 : run.log.steps.back().step},
                      {"best_eval_loss", averages.best_eval_loss ? Json(*averages.best_eval_loss) : Json()},
                      {"started", run.info.started},
                      {"finished", run.info.finished},
                      {"folder", run.folder.root.string()}});
    }
    fmt::print("{}\n", write_json(rows, 2));
    return;
  }
  if (runs.empty()) fmt::print("no training runs yet; begin one with: deskhand --desk {} train\n", globals.desk.string());
  std::size_t width = 4;
  for (const TrainingRun& run : runs) width = std::max(width, columns(visible(run.info.name)));
  if (!runs.empty())
    fmt::print("{}  {}  {}  {}  {}\n", pad("run", width), pad("method", 7), pad("state", 14), pad("best loss", 9, true), "when");
  for (const TrainingRun& run : runs) {
    const auto best = averages_of(curves_of(run)).best_eval_loss;
    fmt::print("{}  {}  {}  {}  {}\n", pad(visible(run.info.name), width), pad(visible(run.info.method), 7), pad(run.state(), 14),
               pad(best ? decimal(*best, 4) : "-", 9, true),
               !run.fault.empty()          ? visible(run.fault)
               : run.info.finished.empty() ? "begun " + visible(run.info.started)
                                           : visible(run.info.finished));
  }
}

void train(const Globals& globals, Options options) {
  if (options.list) return list_runs(globals);
  Desk desk = Desk::open(globals);
  const Recipe recipe = chosen_recipe(desk, options);
  if (options.name.empty()) options.name = recipe.name;
  // Before minutes of reading: a name that is taken.
  if (const fs::path root = run_folder(desk.folder, options.name);
      !options.resume && !options.overwrite && !options.dry_run && fs::exists(root / "run.json"))
    throw Error(ExitCode::kCannotWrite,
                "{} holds a run already; --resume goes on with it, --overwrite begins it anew, --name gives another", root.string());
  else if (options.resume)
    open_run_folder(root);
  const std::string model_name = options.model.empty() ? desk.settings.models.decoder : options.model;
  if (model_name.empty())
    throw Error(ExitCode::kUsage, "the desk names no decoder to train; name one with --model or in [models] of desk.toml");
  const fs::path model = installed_model(globals.models, model_name);
  const Compute compute = desk.settings.compute;
  Job job{.desk = std::move(desk),
          .recipe = recipe,
          .model_name = fs::exists(model_name) ? fs::absolute(model_name).lexically_normal().string() : model_name,
          .model = model,
          .engine = Engine(globals, compute),
          .decoder = Decoder::load(model),
          .tokenizer = load_tokenizer(model),
          .set = {}};
  check_context(recipe, job.decoder, model_name);
  if (recipe.precision == Precision::kFp8) require_fp8(job.engine.models, job.decoder.weights());
  job.set = read_set(job.desk, globals, recipe, options, job.tokenizer, job.engine);
  if (job.recipe.data.pass_tokens == 0) job.recipe.data.pass_tokens = chosen_pass_tokens(job, options);
  const TrainingPlan plan = plan_training(job.engine.models, job.decoder, job.data(), job.recipe);
  check_interrupt();
  check_memory(job, plan);
  if (options.dry_run)
    dry_run(job, globals, options, plan);
  else
    run(job, globals, options, plan);
}

}  // namespace

std::function<void()> declare_train(CLI::App& sub, const Globals& globals) {
  const auto options = std::make_shared<Options>();
  sub.add_option("RECIPE", options->recipe, "lora, hybrid, qlora, full-small, thesis-lora, thesis-hybrid, or a file; lora if not given");
  sub.add_option("--set", options->settings, "KEY=VALUE: another value than the recipe's, lora.r=8 for example; may be given again")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  sub.add_option("--name", options->name, "of the run, its folder in runs; the recipe's name if not given");
  sub.add_option("--model", options->model, "another model than desk.toml's decoder: a name, a folder or a .gguf file");
  sub.add_option("--limit", options->limit, "at most so many tickets, drawn at random")->check(CLI::Range(2, 1000000000));
  const auto resume = sub.add_flag("--resume", options->resume, "go on with a run that was interrupted");
  sub.add_flag("--overwrite,--force", options->overwrite, "begin a run of that name anew")->excludes(resume);
  sub.add_flag("--dry-run", options->dry_run,
               "say what it would take: steps, tokens, memory, time; nothing is written but what is kept of cases and their vectors");
  sub.add_flag("--list", options->list, "the runs of this desk");
  sub.footer(
      "Examples:\n  deskhand --desk mydesk train lora --dry-run\n  deskhand --desk mydesk train lora --set lora.r=8 --name lora-r8\n  "
      "deskhand "
      "--desk mydesk train --resume --name lora-r8\nCtrl-C writes a checkpoint. Recipes: docs/recipes.md.");
  return [options, &globals] { train(globals, *options); };
}

}  // namespace deskhand
