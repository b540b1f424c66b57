#include "deskhand/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <utility>

#include "deskhand/base/clock.h"
#include "deskhand/base/error.h"
#include "deskhand/base/stopwatch.h"
#include "deskhand/model/place_weights.h"
#include "deskhand/model/training_pass.h"
#include "deskhand/ops/optimizer.h"
#include "deskhand/train/adapt.h"
#include "deskhand/train/frozen_base.h"
#include "deskhand/train/merge.h"
#include "deskhand/train/packing.h"

namespace deskhand {
namespace {

using End = TrainingOutcome::End;

constexpr std::int64_t kMostSkippedInARow = 3;

std::vector<std::int32_t> lengths_of(std::span<const Example> examples) {
  std::vector<std::int32_t> lengths;
  for (const Example& example : examples) lengths.push_back(example.size());
  return lengths;
}

Packing packing_of(std::span<const Example> examples, const Recipe& recipe) {
  const DataSettings& data = recipe.data;
  return {lengths_of(examples),
          {.pass_tokens = data.pass_tokens,
           .pass_examples = data.micro_batch,
           .step_examples = data.batch,
           .step_passes = data.step_passes,
           .shared = shared_beginning(examples),
           .shuffle = data.shuffle,
           .seed = recipe.run.seed}};
}

std::int64_t total_steps(const Packing& packing, const RunSettings& run) {
  if (run.epochs <= 0) return run.max_steps;
  const std::int64_t steps = count_steps(packing, run.epochs);
  return run.max_steps > 0 ? std::min(steps, run.max_steps) : steps;
}

void check_examples(std::span<const Example> examples, std::string_view kind, const DecoderConfig& config) {
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const Example& example = examples[i];
    if (example.loss_begin() >= example.size())
      throw Error(ExitCode::kBadInput, "{} example {} has {} tokens and none of them is to be predicted; leave it out", kind, i + 1,
                  example.size());
    if (example.size() > config.max_positions)
      throw Error(ExitCode::kTooLarge, "{} example {} has {} tokens, the model takes {}; lower data.max_tokens", kind, i + 1,
                  example.size(), config.max_positions);
  }
}

void check_data(const TrainingData& data, const DecoderConfig& config) {
  check_examples(data.training, "training", config);
  check_examples(data.validation, "validation", config);
}

// On the GPU activations are bf16 unless the recipe asks for f32.
Placement placement(const Backend& on, const Recipe& recipe) {
  if (on.kind != Backend::Kind::kCuda) return {};
  return {Device::kCuda, recipe.precision == Precision::kF32 ? DType::kF32 : DType::kBF16};
}

// The largest pass that these examples can make: a small desk needs no buffers for pass_tokens.
TrainingPass::Limits limits_of(const Backend& on, const TrainingData& data, const Recipe& recipe) {
  auto lengths = lengths_of(data.training);
  std::sort(lengths.rbegin(), lengths.rend());
  const auto validation = lengths_of(data.validation);
  const std::int32_t longest_validation = validation.empty() ? 0 : *std::max_element(validation.begin(), validation.end());
  std::size_t in_a_pass = lengths.size();
  for (const std::int32_t most : {recipe.data.batch, recipe.data.micro_batch})
    if (most > 0) in_a_pass = std::min(in_a_pass, static_cast<std::size_t>(most));
  const std::int64_t repeated = shared_beginning(data.training) * (static_cast<std::int64_t>(in_a_pass) - 1);
  const std::int64_t longest_pass = std::accumulate(lengths.begin(), lengths.begin() + static_cast<std::ptrdiff_t>(in_a_pass), -repeated);
  return {.tokens = std::max<std::int64_t>(std::min<std::int64_t>(longest_pass, recipe.data.pass_tokens), longest_validation),
          .positions = std::max(lengths.front(), longest_validation),
          .recompute = recipe.recompute,
          .activations = placement(on, recipe),
          .fp8 = recipe.precision == Precision::kFp8};
}

TrainingPass::Batch batch_of(const PackedPass& pass) {
  return {.tokens = pass.tokens,
          .bounds = pass.bounds,
          .rows = pass.rows,
          .targets = pass.targets,
          .shared = pass.shared,
          .weights = pass.weights};
}

// Where a sitting begins.
struct Start {
  TrainingState state;
  std::map<std::string, Tensor> tensors;  // of the checkpoint
  std::string where;                      // the checkpoint; empty: a new run
};

// The base as it stays, what is trained beside it, and what a pass needs.
class Learner {
 public:
  // Takes the start's values and lets its copies go before the large buffers are made.
  Learner(const Backend& on, const Decoder& base, const Recipe& recipe, TrainingPass::Limits limits, Start& start)
      : on_(on),
        adapter_(beginning(on_host(on), base, recipe).copy_to(limits.activations.device)),
        parameters_(started(Parameters::of(adapter_, recipe.lora.plus_ratio, recipe.optimizer.head_ratio), start)),
        held_(limits.fp8 ? hold_in_fp8(on, base, base.weights()) : hold_base(on_host(on), base, recipe.base)),
        weights_(rounded(on, placed(adapted(held_, adapter_, base.config()), limits.activations.device), limits, parameters_)),
        gradients_(gradients_of(parameters_, base.config())),
        pass_(base.config(), weights_, limits) {
    base.release_file();  // what was read to be copied is not needed again
    if (limits.activations.device != Device::kCpu && !limits.fp8) held_ = {};
  }
  Learner(const Learner&) = delete;
  Learner& operator=(const Learner&) = delete;

  const Parameters& parameters() const { return parameters_; }
  // But for the head's, which the first pass of a step overwrites.
  void clear_gradients() { parameters_.clear_gradients(on_, gradients_.head.weight); }
  HeadLoss learn(const PackedPass& pass, const TrainingPass::Options& options) {
    return pass_.backward(on_, batch_of(pass), gradients_, options);
  }
  HeadLoss evaluate(const PackedPass& pass) { return pass_.evaluate(on_, batch_of(pass)); }
  GradientNorm norm() { return gradient_norm(on_, parameters_.gradients()); }

  void update(const AdamW& settings) { adamw(on_, parameters_.parts(), settings); }

  Adapter take() && { return adapter_.copy_to(Device::kCpu); }

 private:
  static Adapter beginning(const Backend& host, const Decoder& base, const Recipe& recipe) {
    return in_base_order(new_adapter(host, base.weights(), base.config(), recipe.method, recipe.lora, recipe.run.seed), base.config());
  }
  static Parameters started(Parameters parameters, Start& start) {
    if (start.where.empty()) return parameters;
    parameters.load(start.tensors, start.where);
    start.tensors.clear();
    return parameters;
  }

  // A head that is trained is read by large products, some times a step.
  static DecoderWeights rounded(const Backend& on, DecoderWeights weights, const TrainingPass::Limits& limits, Parameters& parameters) {
    if (limits.activations.type == DType::kBF16) parameters.keep_rounded(on, weights.head.weight);
    return weights;
  }

  const Backend& on_;
  Adapter adapter_;  // rows as the base has them
  Parameters parameters_;
  DecoderWeights held_;     // the base, on the host, or its matrices in FP8; otherwise on the GPU it is weights_ that holds it
  DecoderWeights weights_;  // with the adapter
  DecoderGradients gradients_;
  TrainingPass pass_;
};

// What run_training was asked to do.
struct Task {
  const Backend& on;
  const Decoder& base;
  const TrainingData& data;
  const Recipe& recipe;
  const RunFolder& folder;
  RunInfo info;
  const TrainingWatch& watch;

  void warn(std::string_view text) const {
    if (watch.warned) watch.warned(text);
  }
};

Start find_start(const Task& task, CheckpointFolder& checkpoints, bool resume) {
  if (!resume && !checkpoints.steps().empty())
    throw Error(ExitCode::kCannotWrite, "{} holds checkpoints of another run; resume that run or choose another folder",
                task.folder.checkpoints().string());
  if (!resume) return {};
  auto found = checkpoints.latest();
  for (const std::string& warning : found.warnings) task.warn(warning);
  if (found.checkpoint) {
    check_identity(found.checkpoint->state, task.info.identity(), found.path.string());
    checkpoints.remove_after(found.checkpoint->state.step);
    return {std::move(found.checkpoint->state), std::move(found.checkpoint->tensors), found.path.string()};
  }
  task.warn("there is no checkpoint to go on from; the run begins anew");
  checkpoints.remove_after(-1);
  std::filesystem::remove(task.folder.log());
  std::filesystem::remove_all(task.folder.tensorboard());
  return {};
}

// One sitting of a run: from its start or a checkpoint to its end or an interruption.
class Sitting {
 public:
  Sitting(Task task, bool resume)
      : task_(std::move(task)),
        packing_(packing_of(task_.data.training, task_.recipe)),
        total_steps_(total_steps(packing_, task_.recipe.run)),
        checkpoints_(task_.folder.checkpoints(), task_.recipe.run.keep_checkpoints),
        start_(find_start(task_, checkpoints_, resume)),
        state_(std::move(start_.state)),
        limits_(limits_of(task_.on, task_.data, task_.recipe)),
        validation_(
            pack_in_order(task_.data.validation, static_cast<std::int32_t>(limits_.tokens), shared_beginning(task_.data.validation))),
        reader_(packing_, task_.data.training, state_.place),
        log_(open_log()),
        learner_(std::make_unique<Learner>(task_.on, task_.base, task_.recipe, limits_, start_)) {
    saved_ = {state_.step, state_.evaluated};
    state_.schedule = schedule_of(task_.recipe, total_steps_);
    state_.identity = task_.info.identity();
    task_.info.finished.clear();
    task_.info.train_examples = static_cast<std::int64_t>(task_.data.training.size());
    task_.info.validation_examples = static_cast<std::int64_t>(task_.data.validation.size());
    task_.info.trained_parameters = learner_->parameters().size();
  }

  TrainingOutcome run() {
    or_say_what_stays([&] { write_run_info(task_.folder.info(), task_.info); });
    const End end = go_on();
    if (end != End::kInterrupted) or_say_what_stays([&] { finish(); });
    return outcome(end);
  }

 private:
  End go_on() {
    const RunSettings& settings = task_.recipe.run;
    for (;;) {
      bool is_best = false;
      if (is_evaluation_due()) {
        const auto record = evaluate();
        if (!record) return interrupted();
        is_best = take(*record);
      }
      const bool is_through = state_.step >= total_steps_, is_over = is_through || state_.best.should_stop(settings.patience);
      if (is_over || is_checkpoint_due(is_best)) save();
      if (is_over) return is_through ? End::kFinished : End::kStoppedEarly;
      take_step();
      if (is_asked_to_stop()) return interrupted();
    }
  }

  bool is_asked_to_stop() const { return task_.watch.should_stop && task_.watch.should_stop(); }

  End interrupted() {
    save();
    return End::kInterrupted;
  }

  // After so many steps an evaluation is wanted, whether there is anything to evaluate on or not.
  bool is_evaluation_step() const {
    const std::int64_t every = task_.recipe.run.evaluate_every;
    return state_.step > 0 && (every > 0 ? state_.step % every == 0 : state_.place.step == 0);
  }

  bool is_evaluation_due() const {
    return !validation_.empty() && state_.evaluated != state_.step &&
           (state_.step == 0 || state_.step >= total_steps_ || is_evaluation_step());
  }

  bool is_checkpoint_due(bool is_best) const {
    const std::int64_t every = task_.recipe.run.checkpoint_every;
    if (is_best && task_.recipe.run.keep_best) return true;
    return every > 0 ? state_.step % every == 0 : is_evaluation_step();
  }

  // Nothing if the run was asked to stop meanwhile: the next sitting makes it up.
  std::optional<EvalRecord> evaluate() {
    const Stopwatch watch;
    HeadLoss sums;
    std::int64_t targets = 0;
    double weight = 0;
    for (const PackedPass& pass : validation_) {
      sums += learner_->evaluate(pass);
      targets += static_cast<std::int64_t>(pass.targets.size());
      weight += pass.target_weight();
      if (is_asked_to_stop()) return std::nullopt;
    }
    const auto mean = [&](auto sum) { return static_cast<double>(sum) / static_cast<double>(targets); };
    const double seconds = watch.seconds();
    return EvalRecord{.step = state_.step,
                      .epoch = reader_.epoch(),
                      .loss = sums.loss / weight,
                      .entropy = mean(sums.entropy),
                      .mean_token_accuracy = mean(sums.correct),
                      .runtime_s = seconds,
                      .samples_per_second = static_cast<double>(task_.data.validation.size()) / seconds,
                      .num_tokens = state_.num_tokens};
  }

  // True if it is the best so far. The one before the first step is no candidate: it has learnt nothing.
  bool take(const EvalRecord& record) {
    state_.evaluated = state_.step;
    const bool is_best = state_.step > 0 && state_.best.take(record.loss, record.step, task_.recipe.run.least_gain);
    if (logged_evaluation_ < record.step) or_say_what_stays([&] { log_.add(record, seconds_of_1970()); });
    if (task_.watch.evaluated) task_.watch.evaluated(record, is_best);
    return is_best;
  }

  void take_step() {
    const Stopwatch watch;
    const auto passes = reader_.next();
    std::int64_t tokens = 0, targets = 0;
    double weight = 0;
    for (const PackedPass& pass : passes) {
      tokens += pass.text_tokens();
      targets += static_cast<std::int64_t>(pass.targets.size());
      weight += pass.target_weight();
    }
    TrainingPass::Options options{.scale = static_cast<float>(1 / weight),
                                  .dropout = static_cast<float>(task_.recipe.lora.dropout),
                                  .seed = task_.recipe.run.seed,
                                  .step = static_cast<std::uint32_t>(state_.step),
                                  .head = Into::kOverwrite};
    learner_->clear_gradients();
    HeadLoss sums;
    for (const PackedPass& pass : passes) {
      sums += learner_->learn(pass, options);
      options.first_row += static_cast<std::uint32_t>(pass.tokens.size());
      options.head = Into::kAdd;
    }
    const GradientNorm norm = learner_->norm();
    const auto mean = [&](auto sum) { return static_cast<double>(sum) / static_cast<double>(targets); };
    StepRecord record{.loss = sums.loss / weight,
                      .grad_norm = norm.norm,
                      .learning_rate = task_.recipe.optimizer.learning_rate * state_.schedule.factor(state_.step),
                      .entropy = mean(sums.entropy),
                      .mean_token_accuracy = mean(sums.correct),
                      .skipped = !std::isfinite(sums.loss) || norm.not_finite > 0};
    if (!record.skipped) update(record);
    state_.seconds += watch.seconds();
    state_.num_tokens += tokens;
    state_.place = reader_.place();
    record.step = ++state_.step;
    record.epoch = reader_.epoch();
    record.num_tokens = state_.num_tokens;
    record.tokens_per_second = static_cast<double>(tokens) / watch.seconds();

    or_say_what_stays([&] { log_.add(record, seconds_of_1970()); });
    if (task_.watch.stepped) task_.watch.stepped(record, total_steps_);
    if (record.skipped)
      skip(record, norm, passes);
    else
      last_good_ = record;
  }

  void update(const StepRecord& record) {
    const OptimizerSettings& settings = task_.recipe.optimizer;
    state_.skipped_in_a_row = 0;
    faults_.clear();
    learner_->update({.learning_rate = record.learning_rate,
                      .beta1 = settings.beta1,
                      .beta2 = settings.beta2,
                      .epsilon = settings.epsilon,
                      .weight_decay = settings.weight_decay,
                      .step = ++state_.updates,
                      .gradient_scale = settings.max_grad_norm > 0 ? clip_scale(record.grad_norm, settings.max_grad_norm) : 1});
  }

  void skip(const StepRecord& record, const GradientNorm& norm, std::span<const PackedPass> passes) {
    ++state_.skipped;
    ++state_.skipped_in_a_row;
    const double loss = std::isnan(record.loss) ? std::abs(record.loss) : record.loss;  // a NaN's sign says nothing
    faults_.push_back(fmt::format("step {}: loss {:.4g}, {} of {} gradients not finite, {}", record.step, loss, norm.not_finite,
                                  learner_->parameters().size(), examples_text(passes)));
    if (state_.skipped_in_a_row < kMostSkippedInARow) return task_.warn(fmt::format("skipped {}; nothing was changed", faults_.back()));
    throw Error(ExitCode::kBadInput, "{}: stopped after {} steps in a row whose loss or gradients were no numbers ({}){}; {}",
                task_.folder.root.string(), state_.skipped_in_a_row, fmt::join(faults_, "; "),
                last_good_ ? fmt::format("; the last good one was step {} with loss {:.4g}", last_good_->step, last_good_->loss) : "",
                what_to_change());
  }

  std::string what_to_change() const {
    const OptimizerSettings& settings = task_.recipe.optimizer;
    if (state_.updates == 0)
      return "nothing had been learnt before, so the base model's own weights hold NaN or values too large; check its file or choose "
             "another";
    return fmt::format(
        "the weights have left the range of numbers: begin a new run with an optimizer.learning_rate lower than {:g}{}, or with a longer "
        "warm-up",
        settings.learning_rate, settings.max_grad_norm > 0 ? "" : " and optimizer.max_grad_norm = 1");
  }

  static std::string examples_text(std::span<const PackedPass> passes) {
    constexpr std::size_t kShown = 8;
    std::vector<std::int32_t> numbers;
    for (const PackedPass& pass : passes)
      for (const std::int32_t number : pass.examples) numbers.push_back(number + 1);
    std::sort(numbers.begin(), numbers.end());
    const std::size_t shown = std::min(numbers.size(), kShown);
    return fmt::format("examples {}{}", fmt::join(std::span(numbers).first(shown), ", "),
                       numbers.size() > shown ? fmt::format(" and {} more", numbers.size() - shown) : "");
  }

  void save() {
    const std::pair now{state_.step, state_.evaluated};
    if (state_.step == 0 || now == saved_) return;  // a run that has taken no step has nothing to lose
    log_.sync();
    std::vector<Tensor> copies;
    checkpoints_.save(state_, learner_->parameters().tensors(copies));
    saved_ = now;
  }

  void finish() {
    Adapter adapter = std::move(*learner_).take();
    learner_.reset();
    adapter.base_model = task_.info.base_model;
    if (task_.recipe.run.keep_best && state_.best.step > 0 && state_.best.step != state_.step) take_best(adapter);
    check_result(adapter);
    adapter = in_hugging_face_order(adapter, task_.base.config());
    if (task_.recipe.method == Method::kFull)
      write_merged(task_.on, task_.base, adapter, task_.folder.model(), DType::kF32);
    else
      write_adapter(task_.folder.adapter(), adapter);
    task_.info.finished = utc_now();
    write_run_info(task_.folder.info(), task_.info);
  }

  // Weights can leave the range of numbers in the very last steps, before three were skipped.
  void check_result(const Adapter& adapter) const {
    try {
      check_adapter(adapter, task_.base.config(), task_.folder.root.string());
    } catch (const Error& error) {
      throw Error(error.code(), "{}; {}", error.what(), what_to_change());
    }
  }

  void take_best(Adapter& adapter) {
    const auto path = checkpoints_.path_of(state_.best.step);
    try {
      Parameters::load_values(Parameters::entries_of(adapter), read_checkpoint(path).tensors, path.string());
    } catch (const Error& error) {
      task_.warn(fmt::format("{}; what is kept is the last step's, not the best evaluation's of step {}", error.what(), state_.best.step));
    }
  }

  TrainingOutcome outcome(End end) {
    TrainingOutcome outcome{.end = end, .info = task_.info, .state = state_};
    const RunLog log = read_run_log(task_.folder.log());
    if (!log.steps.empty()) outcome.last_step = log.steps.back();
    for (const EvalRecord& record : log.evaluations) {
      if (record.step == 0) outcome.first_evaluation = record;
      if (record.step == state_.best.step && record.step > 0) outcome.best_evaluation = record;
    }
    if (const auto& first = outcome.first_evaluation, &best = outcome.best_evaluation;
        end != End::kInterrupted && first && best && best->loss >= first->loss)
      task_.warn(fmt::format("no evaluation was better than the one before the first step: loss {:.4g} then, {:.4g} at best after it",
                             first->loss, best->loss));
    double loss = 0, accuracy = 0;
    std::int64_t count = 0;
    for (const StepRecord& record : log.steps) {
      if (record.skipped) continue;
      loss += record.loss;
      accuracy += record.mean_token_accuracy;
      ++count;
    }
    if (count > 0) {
      outcome.mean_train_loss = loss / static_cast<double>(count);
      outcome.mean_train_accuracy = accuracy / static_cast<double>(count);
    }
    return outcome;
  }

  RunLogWriter open_log() {
    std::optional<RunLogWriter> log;
    or_say_what_stays([&] { log.emplace(task_.folder.log(), task_.folder.tensorboard(), state_.step, seconds_of_1970()); });
    const auto evaluations = read_run_log(task_.folder.log()).evaluations;
    logged_evaluation_ = evaluations.empty() ? -1 : evaluations.back().step;
    return std::move(*log);
  }

  // A disk that fills up: what is safe is said.
  void or_say_what_stays(const std::function<void()>& write) const {
    try {
      write();
    } catch (const Error& error) {
      if (error.code() != ExitCode::kCannotWrite) throw;
      throw Error(error.code(), "{}; {}", error.what(), checkpoints_.what_stays());
    }
  }

  Task task_;
  Packing packing_;
  std::int64_t total_steps_;
  CheckpointFolder checkpoints_;
  Start start_;
  TrainingState state_;
  TrainingPass::Limits limits_;
  std::vector<PackedPass> validation_;
  StepReader reader_;
  std::int64_t logged_evaluation_ = -1;  // the log's last; declared before the log, which sets it
  RunLogWriter log_;
  std::unique_ptr<Learner> learner_;
  std::pair<std::int64_t, std::int64_t> saved_;  // step and evaluated of the last checkpoint
  std::optional<StepRecord> last_good_;
  std::vector<std::string> faults_;  // of the skipped steps in a row
};

// Of one layer, whichever has most.
std::int64_t lora_ranks(const DecoderConfig& config, const Recipe& recipe) {
  if (recipe.method == Method::kFull) return 0;
  std::map<std::string, std::int64_t> ranks;  // by "model.layers.3"
  for (const LinearShape& linear : lora_layers(config, recipe.lora.targets))
    ranks[linear.name.substr(0, linear.name.find('.', std::string_view("model.layers.").size()))] += recipe.lora.r;
  std::int64_t most = 0;
  for (const auto& [layer, sum] : ranks) most = std::max(most, sum);
  return most;
}

std::int64_t frozen_bytes(const Decoder& base, const Recipe& recipe) {
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : named_tensors(base.weights(), base.config())) {
    const bool is_embedding_again = name == "lm_head.weight" && base.config().tied_head;
    if (is_embedding_again || is_replaced(name, recipe.method, base.config())) continue;
    const bool is_layer_matrix = tensor.shape().rank() == 2 && name.starts_with("model.layers.");
    if (is_layer_matrix && recipe.precision == Precision::kFp8)
      bytes += fp8_bytes(tensor);
    else
      bytes += is_layer_matrix ? held_bytes(tensor, recipe.base) : tensor.bytes();
  }
  return bytes;
}

}  // namespace

TrainingPlan plan_training(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe) {
  check_data(data, base.config());
  const Packing packing = packing_of(data.training, recipe);
  TrainingPlan plan{.steps = total_steps(packing, recipe.run)};
  for (const StepPlan& step : packing.epoch(0)) {
    ++plan.steps_in_epoch;
    plan.passes_in_epoch += static_cast<std::int64_t>(step.size());
  }
  for (const Example& example : data.training) {
    plan.tokens_in_epoch += example.size();
    plan.target_tokens_in_epoch += example.size() - example.loss_begin();
  }
  plan.trained_parameters = count_parameters(base.config(), recipe.method, recipe.lora);
  plan.frozen_bytes = frozen_bytes(base, recipe);
  plan.trained_bytes = 4 * plan.trained_parameters * static_cast<std::int64_t>(sizeof(float));
  const TrainingPass::Limits limits = limits_of(on, data, recipe);
  plan.pass_bytes = TrainingPass::bytes(base.config(), limits, lora_ranks(base.config(), recipe));
  if (on.kind == Backend::Kind::kCuda && recipe.method != Method::kLora) {  // what a head that is trained takes besides
    const std::int64_t vocabulary = base.config().vocabulary,
                       logits = limits.tokens * vocabulary * static_cast<std::int64_t>(sizeof(float));
    plan.pass_bytes += std::max<std::int64_t>(std::min(logits, logit_bytes(on, true)) - logit_bytes(on, false), 0);
    if (limits.activations.type == DType::kBF16) plan.trained_bytes += row_bytes(DType::kBF16, vocabulary * base.config().width);
  }
  return plan;
}

std::int32_t pass_tokens_for(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe, std::int64_t bytes) {
  constexpr std::int32_t kOnCpu = 2048, kOnGpu = 8192;
  if (on.kind != Backend::Kind::kCuda) return std::max(kOnCpu, recipe.data.max_tokens);
  Recipe tried = recipe;
  std::int32_t& tokens = tried.data.pass_tokens;
  for (tokens = kOnGpu; tokens > recipe.data.max_tokens; tokens /= 2)
    if (plan_training(on, base, data, tried).bytes() <= bytes) return tokens;
  return recipe.data.max_tokens;
}

std::vector<std::string> settings_that_fit(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe,
                                           std::int64_t bytes) {
  std::vector<std::string> changes;
  Recipe tried = recipe;
  const auto fits = [&] { return plan_training(on, base, data, tried).bytes() <= bytes; };
  const auto fits_with_fewer_tokens = [&] {
    for (tried.data.pass_tokens = recipe.data.pass_tokens; tried.data.pass_tokens > recipe.data.max_tokens;) {
      tried.data.pass_tokens = std::max(tried.data.pass_tokens / 2, recipe.data.max_tokens);
      if (!fits()) continue;
      changes.push_back(fmt::format("data.pass_tokens={}", tried.data.pass_tokens));
      return true;
    }
    return fits();
  };
  if (fits_with_fewer_tokens()) return changes;
  tried.recompute = true;
  if (!recipe.recompute) changes.push_back("recompute=true");
  if (fits_with_fewer_tokens()) return changes;
  if (recipe.method == Method::kFull || recipe.precision == Precision::kFp8) return {};
  tried.base = FrozenBase::kQ4;
  if (recipe.base != FrozenBase::kQ4) changes.push_back("base=q4");
  if (fits_with_fewer_tokens()) return changes;
  return {};
}

double time_of_pass(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe) {
  check_data(data, base.config());
  const Packing packing = packing_of(data.training, recipe);
  std::vector<PackedPass> passes;
  for (const StepPlan& step : packing.epoch(0))
    for (const PassPlan& plan : step) passes.push_back(pack(data.training, plan, packing.shared()));
  const auto middle = passes.begin() + static_cast<std::ptrdiff_t>(passes.size() / 2);
  std::nth_element(passes.begin(), middle, passes.end(),
                   [](const PackedPass& a, const PackedPass& b) { return a.tokens.size() < b.tokens.size(); });

  Start start;
  Learner learner(on, base, recipe, limits_of(on, data, recipe), start);
  const std::vector<Example> two_tokens = {{.ids = {middle->tokens[0], middle->tokens[1]}}};
  learner.evaluate(pack(two_tokens, {0}));  // the weights come from the disk here, and are not timed
  const Stopwatch watch;
  learner.learn(*middle, {.dropout = static_cast<float>(recipe.lora.dropout)});
  return watch.seconds();
}

TrainingOutcome run_training(const Backend& on, const Decoder& base, const TrainingData& data, const Recipe& recipe,
                             const RunFolder& folder, const RunInfo& info, bool resume, const TrainingWatch& watch) {
  check_data(data, base.config());
  return Sitting({on, base, data, recipe, folder, info, watch}, resume).run();
}

}  // namespace deskhand
