#include "deskhand/train/trainer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <tuple>

#include "deskhand/base/json.h"
#include "deskhand/model/safetensors.h"
#include "deskhand/model/training_pass.h"
#include "deskhand/ops/cuda/testing.h"
#include "deskhand/ops/fp8.h"
#include "deskhand/train/adapt.h"
#include "deskhand/train/run_testing.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;
using namespace testing;
using End = TrainingOutcome::End;

double worst_relative(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
  return worst;
}

std::vector<Example> golden_examples(const Json& list) {
  std::vector<Example> examples;
  for (const Json& one : list)
    examples.push_back({.ids = one["ids"].get<std::vector<std::int32_t>>(), .answer_begin = one["answer_begin"]});
  return examples;
}

Recipe golden_recipe(const Json& settings, std::int32_t batch) {
  Recipe recipe;
  for (const Method method : {Method::kLora, Method::kHybrid, Method::kFull})
    if (settings["method"] == name_of(method)) recipe.method = method;
  recipe.lora = {.targets = settings["targets"],
                 .r = settings["r"],
                 .alpha = settings["alpha"],
                 .dropout = 0,
                 .rank_stabilised = settings["rank_stabilised"],
                 .plus_ratio = settings["plus_ratio"]};
  recipe.data = {.max_tokens = 64, .batch = batch, .pass_tokens = 32, .shuffle = false};  // several passes a step
  recipe.optimizer = {.learning_rate = settings["learning_rate"],
                      .head_ratio = settings["head_ratio"],
                      .weight_decay = settings["weight_decay"],
                      .beta1 = settings["beta1"],
                      .beta2 = settings["beta2"],
                      .epsilon = settings["epsilon"],
                      .max_grad_norm = settings["max_grad_norm"]};
  recipe.schedule.warmup_steps = settings["warmup_steps"];
  recipe.run = {.epochs = 2, .seed = settings["seed"]};
  return recipe;
}

}  // namespace

// The truth is computed in double; ten steps of f32 stay within 1e-5 of each loss.
TEST_CASE("ten AdamW steps of LoRA, hybrid and full training give PyTorch's and peft's losses, norms and rates") {
  const Json golden = parse_json(read_text_file(kGolden / "train/runs.json"), "runs.json");
  REQUIRE(golden["runs"].size() == 8);
  for (const Json& expected : golden["runs"]) {
    const auto name = expected["name"].get<std::string>();
    CAPTURE(name);
    Run run;
    run.recipe = golden_recipe(expected, golden["batch"]);
    run.base = expected["model"];
    run.training = golden_examples(golden["training"]);
    run.validation = golden_examples(golden["validation"]);
    const TrainingOutcome outcome = run.start();
    CHECK(outcome.end == End::kFinished);
    const RunLog log = read_run_log(run.root() / "log.jsonl");
    REQUIRE(log.steps.size() == 10);
    REQUIRE(log.evaluations.size() == 3);
    for (std::size_t i = 0; i < log.steps.size(); ++i) {
      const Json& step = expected["steps"][i];
      CAPTURE(i);
      CHECK(log.steps[i].loss == doctest::Approx(step["loss"].get<double>()).epsilon(1e-5));
      CHECK(log.steps[i].entropy == doctest::Approx(step["entropy"].get<double>()).epsilon(1e-5));
      CHECK(log.steps[i].grad_norm == doctest::Approx(step["grad_norm"].get<double>()).epsilon(1e-4));
      CHECK(log.steps[i].mean_token_accuracy == doctest::Approx(step["mean_token_accuracy"].get<double>()).epsilon(1e-12));
      CHECK(log.steps[i].learning_rate == doctest::Approx(step["learning_rate"].get<double>()).epsilon(1e-12));
    }
    for (std::size_t i = 0; i < log.evaluations.size(); ++i) {
      const Json& evaluation = expected["evaluations"][i];
      CHECK(log.evaluations[i].loss == doctest::Approx(evaluation["loss"].get<double>()).epsilon(1e-5));
      CHECK(log.evaluations[i].entropy == doctest::Approx(evaluation["entropy"].get<double>()).epsilon(1e-5));
    }
    CHECK(fs::exists(run.root() / "model/model.safetensors") == (run.recipe.method == Method::kFull));
    CHECK(fs::exists(run.root() / "adapter/adapter_config.json") == (run.recipe.method != Method::kFull));
  }
}

TEST_CASE("what was trained answers as it did in the last evaluation, as an adapter and as a whole model") {
  for (const Method method : {Method::kHybrid, Method::kFull}) {
    CAPTURE(name_of(method));
    Run run;
    run.recipe.method = method;
    run.recipe.run.keep_best = false;
    const TrainingOutcome outcome = run.start();
    Decoder trained = Decoder::load(method == Method::kFull ? run.root() / "model" : kGolden / "models/qwen2");
    if (method != Method::kFull) use_adapter(trained, read_adapter(run.root() / "adapter"), "adapter");
    const auto passes = pack_in_order(run.validation, 200);
    REQUIRE(passes.size() == 1);
    TrainingPass pass(trained.config(), trained.weights(), {.tokens = 200, .positions = 64});
    Machine machine(1);
    const HeadLoss sums = pass.evaluate(machine.on, {passes[0].tokens, passes[0].bounds, passes[0].rows, passes[0].targets});
    const RunLog log = read_run_log(run.root() / "log.jsonl");
    CHECK(sums.loss / static_cast<double>(passes[0].rows.size()) == doctest::Approx(log.evaluations.back().loss).epsilon(1e-6));
    CHECK(outcome.best_evaluation->loss < outcome.first_evaluation->loss);
  }
}

TEST_CASE("packed texts and one text a pass give the same losses, and eight at once those of four passes of two") {
  const auto losses = [](std::int32_t pass_tokens, std::int32_t batch, std::int32_t micro_batch) {
    Run run;
    run.recipe.lora.dropout = 0;
    run.recipe.data.pass_tokens = pass_tokens;
    run.recipe.data.batch = batch;
    run.recipe.data.micro_batch = micro_batch;
    run.start();
    std::vector<double> figures = losses_of(run.root());
    for (const StepRecord& record : read_run_log(run.root() / "log.jsonl").steps) figures.push_back(record.grad_norm);
    return figures;
  };
  const auto packed = losses(200, 8, 0);
  CHECK(packed.size() == 2 * 6);  // losses, then norms
  CHECK(worst_relative(losses(200, 8, 1), packed) < 1e-5);
  CHECK(worst_relative(losses(200, 8, 2), packed) < 1e-5);
  CHECK(worst_relative(losses(40, 8, 0), packed) < 1e-5);
  CHECK(worst_relative(losses(200, 4, 0), std::vector<double>(2 * 10, packed[0])) > 1e-3);  // another batch is another run
}

TEST_CASE("the loss is the mean by weight: weights that are all alike change nothing, and tokens without weight are not learnt") {
  const auto losses = [](auto weight_of) {
    Run run;
    for (auto* examples : {&run.training, &run.validation})
      for (Example& example : *examples)
        for (std::int32_t at = example.answer_begin; at < example.size(); ++at)
          example.weights.push_back(weight_of(example.ids[static_cast<std::size_t>(at)]));
    run.start();
    std::vector<double> figures = losses_of(run.root());
    for (const EvalRecord& record : read_run_log(run.root() / "log.jsonl").evaluations) figures.push_back(record.loss);
    return figures;
  };
  const auto plain = losses([](std::int32_t) { return 1.0f; });
  CHECK(losses([](std::int32_t) { return 4.0f; }) == plain);
  const auto even = losses([](std::int32_t id) { return id % 2 == 0 ? 1.0f : 0.0f; });
  CHECK(even != plain);
  CHECK(even != losses([](std::int32_t id) { return id % 2 == 0 ? 1.0f : 0.5f; }));
}

TEST_CASE("dropout falls on the same elements however a step is cut into passes") {
  const auto losses = [](std::int32_t micro_batch) {
    Run run;
    run.recipe.lora.dropout = 0.5;
    run.recipe.optimizer.learning_rate = 0.05;
    run.recipe.data = {.max_tokens = 40, .batch = 4, .micro_batch = micro_batch, .pass_tokens = 40, .shuffle = false};
    for (Example& example : run.training) {  // of one length, so that they are packed in their order
      example.ids.resize(8, 5);
      example.answer_begin = 2;
    }
    run.start();
    return losses_of(run.root());
  };
  CHECK(worst_relative(losses(2), losses(4)) < 1e-5);
}

TEST_CASE("texts that share their beginning lose the same as each in a pass of its own, and all their tokens are counted") {
  const auto run_with = [](std::int32_t micro_batch) {
    Run run;
    for (auto* examples : {&run.training, &run.validation})
      for (Example& example : *examples) {
        const std::vector<std::int32_t> beginning = {9, 4, 31, 7, 8, 3, 6, 12, 11, 20, 19, 18, 5, 9, 4, 31, 7, 21};
        example.ids.insert(example.ids.begin(), beginning.begin(), beginning.end());
        example.answer_begin += static_cast<std::int32_t>(beginning.size());
      }
    REQUIRE(shared_beginning(run.training) == 18);
    run.recipe.lora.dropout = 0;
    run.recipe.data.pass_tokens = 200;
    run.recipe.data.micro_batch = micro_batch;
    const auto outcome = run.start();
    return std::tuple(losses_of(run.root()), outcome.best_evaluation->loss, outcome.state.num_tokens);
  };
  const auto [apart, apart_best, apart_tokens] = run_with(1);
  const auto [shared, shared_best, shared_tokens] = run_with(0);
  CHECK(worst_relative(shared, apart) < 1e-5);
  CHECK(shared_best == doctest::Approx(apart_best).epsilon(1e-5));
  CHECK(shared_tokens == apart_tokens);
}

TEST_CASE("a run over a base in 4 bits learns, by other numbers than over the base as it is") {
  Run stored, four;
  stored.base = four.base = "llama-untied";
  four.recipe.base = FrozenBase::kQ4;
  four.recipe.run.epochs = stored.recipe.run.epochs = 6;
  stored.start();
  const auto outcome = four.start();
  CHECK(outcome.best_evaluation->loss < 0.98 * outcome.first_evaluation->loss);
  const auto losses = losses_of(four.root());
  CHECK(worst_relative(losses, losses_of(stored.root())) > 1e-4);
}

TEST_CASE("layers computed again for backward change no bit of the adapter") {
  Run kept, again;
  again.recipe.recompute = true;
  kept.start();
  again.start();
  CHECK(again.adapter() == kept.adapter());
}

TEST_CASE("another number of threads gives the same adapter to the bit") {
  Run one, three;
  three.threads = 3;
  one.recipe.method = three.recipe.method = Method::kHybrid;
  one.start();
  three.start();
  CHECK(three.adapter() == one.adapter());
  CHECK(log_of(three.root()) == log_of(one.root()));
}

TEST_CASE("a learning rate without bounds: its step is the last that counts, three are skipped, and the run says what to change") {
  Run run;
  run.recipe.optimizer.learning_rate = std::numeric_limits<double>::infinity();
  run.recipe.schedule.kind = ScheduleKind::kConstant;
  std::vector<std::string> warnings;
  run.watch.warned = [&](std::string_view text) { warnings.emplace_back(text); };
  const std::string fault = fault_of([&] { run.start(); }, ExitCode::kBadInput);
  CHECK(contains(fault, "stopped after 3 steps in a row"));
  CHECK(contains(fault, "step 2: loss nan"));
  CHECK(contains(fault, "step 4: loss nan"));
  CHECK(contains(fault, "the last good one was step 1 with loss 7."));
  CHECK(contains(fault, "optimizer.learning_rate lower than inf"));
  CHECK(contains(fault, "examples "));
  CHECK(warnings.size() == 2);
  const RunLog log = read_run_log(run.root() / "log.jsonl");
  REQUIRE(log.steps.size() == 4);
  CHECK_FALSE(log.steps[0].skipped);
  CHECK(log.steps[1].skipped);
  CHECK_FALSE(fs::exists(run.root() / "adapter"));

  Run shorter;  // ends before three were skipped
  shorter.recipe = run.recipe;
  shorter.recipe.run.max_steps = 2;
  CHECK(contains(fault_of([&] { shorter.start(); }, ExitCode::kBadInput), "NaN or infinite"));
  CHECK_FALSE(fs::exists(shorter.root() / "adapter"));
}

TEST_CASE("a base with a NaN in it is found at once, and is said to be the cause") {
  const TemporaryFolder poisoned(true);
  fs::copy(kGolden / "models/llama-untied", poisoned.path() / "base", fs::copy_options::recursive);
  const auto file = poisoned.path() / "base/model.safetensors";
  std::string bytes = read_text_file(file);
  for (std::size_t i = bytes.size() - 4000; i < bytes.size(); ++i) bytes[i] = '\x7f' | static_cast<char>(0x80 * (i % 2 == 0));  // bf16 NaN
  fs::remove(file);
  std::ofstream(file, std::ios::binary) << bytes;
  const Decoder base = Decoder::load(poisoned.path() / "base");
  Run run;
  Machine machine(1);
  const std::string fault = fault_of(
      [&] {
        run_training(machine.on, base, {run.training, {}}, run.recipe, make_run_folder(run.root(), false), info(), false, {});
      },
      ExitCode::kBadInput);
  CHECK(contains(fault, "step 1: loss nan"));
  CHECK(contains(fault, "nothing had been learnt before, so the base model's own weights"));
}

TEST_CASE("a single skipped step changes neither weights nor moments, is counted, and does not advance Adam's correction") {
  // An input of one example that no f32 holds is made by its token's own embedding: that example alone spoils its step.
  const TemporaryFolder poisoned(true);
  fs::copy(kGolden / "models/llama-untied", poisoned.path() / "base", fs::copy_options::recursive);
  const auto file = poisoned.path() / "base/model.safetensors";
  {
    const auto stored = Safetensors::open(file);
    std::vector<Tensor> owned;
    std::vector<std::pair<std::string, ConstView>> parts;
    for (const StoredTensor& tensor : stored.tensors().all()) {
      const ConstView view = stored.view(tensor.name);
      Tensor copy(view.type(), view.shape());
      std::copy(view.raw().begin(), view.raw().end(), copy.view().raw().begin());
      if (tensor.name == "model.embed_tokens.weight")
        for (auto& value : copy.view().rows(200, 1).as<std::uint16_t>()) value = 0x7fc0;
      owned.push_back(std::move(copy));
    }
    for (std::size_t i = 0; i < owned.size(); ++i) parts.emplace_back(stored.tensors().all()[i].name, std::as_const(owned[i]).view());
    write_safetensors(poisoned.path() / "changed.safetensors", parts, {{"format", "pt"}});
  }
  fs::rename(poisoned.path() / "changed.safetensors", file);
  const Decoder base = Decoder::load(poisoned.path() / "base");
  Run run;
  run.recipe.data = {.max_tokens = 40, .batch = 1, .pass_tokens = 40, .shuffle = false};
  run.recipe.schedule.kind = ScheduleKind::kConstant;
  run.recipe.lora.dropout = 0;
  run.recipe.run = {.epochs = 1, .seed = 7};
  run.training.resize(6);
  const auto train = [&](const Run& with) {
    Machine machine(1);
    return run_training(machine.on, base, {with.training, {}}, with.recipe, make_run_folder(with.root(), false), info(), false, {});
  };
  Run clean;
  clean.recipe = run.recipe;
  clean.training = run.training;
  run.training.insert(run.training.begin() + 2, Example{.ids = {5, 200, 7, 8}, .answer_begin = 2});
  const TrainingOutcome skipped = train(run), plain = train(clean);
  CHECK(skipped.end == End::kFinished);
  CHECK(skipped.state.step == 7);
  CHECK(skipped.state.updates == 6);
  CHECK(skipped.state.skipped == 1);
  CHECK(skipped.state.skipped_in_a_row == 0);
  CHECK(run.adapter() == clean.adapter());
  CHECK(skipped.mean_train_loss == plain.mean_train_loss);
  CHECK(read_run_log(run.root() / "log.jsonl").steps[2].skipped);
}

TEST_CASE("a run that gets worse stops early, and its adapter is the best evaluation's, which a whole run's last one is not") {
  Run early, last, best;
  for (Run* run : {&early, &last, &best}) {
    run->recipe.run.evaluate_every = 1;
    run->recipe.run.epochs = 6;
    run->recipe.optimizer.learning_rate = 0.1;
    run->recipe.schedule.kind = ScheduleKind::kConstant;
  }
  early.recipe.run.patience = 3;
  last.recipe.run.patience = 3;
  last.recipe.run.keep_best = false;
  const TrainingOutcome outcome = early.start();
  CHECK(outcome.end == End::kStoppedEarly);
  REQUIRE(outcome.best_evaluation);
  CHECK(outcome.state.step == outcome.best_evaluation->step + 3);
  for (const EvalRecord& record : read_run_log(early.root() / "log.jsonl").evaluations)
    if (record.step > 0) CHECK(record.loss >= outcome.best_evaluation->loss);
  CHECK(last.start().end == End::kStoppedEarly);
  CHECK(log_of(last.root()) == log_of(early.root()));
  CHECK(last.adapter() != early.adapter());

  best.recipe.run.max_steps = outcome.best_evaluation->step;  // a run that ends there
  best.start();
  CHECK(best.adapter() == early.adapter());

  Run killed;  // in every second step, after its log line: the evaluations behind it are not counted twice
  killed.recipe = early.recipe;
  killed.validation = early.validation;
  int steps = 0;
  killed.watch.stepped = [&](const StepRecord&, std::int64_t) {
    if (++steps % 2 == 0) throw std::runtime_error("killed");
  };
  CHECK_THROWS_AS(killed.start(), std::runtime_error);
  for (bool is_over = false; !is_over && steps < 100;) {
    try {
      is_over = killed.resume().end == End::kStoppedEarly;
    } catch (const std::runtime_error&) {}
  }
  CHECK(log_of(killed.root()) == log_of(early.root()));
  CHECK(killed.adapter() == early.adapter());

  // Killed after its last checkpoint, it stops early all the same.
  const std::string adapter = early.adapter();
  fs::remove_all(early.root() / "adapter");
  CHECK(early.resume().end == End::kStoppedEarly);
  CHECK(early.adapter() == adapter);
}

TEST_CASE("where the best evaluation's checkpoint is damaged, the last step's adapter is kept and the loss of the best is said") {
  Run run;
  run.recipe.run.evaluate_every = 1;
  run.recipe.run.epochs = 6;
  run.recipe.run.patience = 3;
  run.recipe.optimizer.learning_rate = 0.1;
  run.recipe.schedule.kind = ScheduleKind::kConstant;
  const auto best = run.start().state.best.step;
  const std::string adapter = run.adapter();
  fs::resize_file(run.root() / fmt::format("checkpoints/step-{:08}.safetensors", best), 100);
  std::string warning;
  run.watch.warned = [&](std::string_view text) { warning += text; };
  run.resume();
  CHECK(contains(warning, "what is kept is the last step's"));
  CHECK(run.adapter() != adapter);
}

TEST_CASE("without validation tickets a run makes checkpoints at each epoch's end and keeps the last step") {
  Run run;
  run.validation.clear();
  run.recipe.run.evaluate_every = 0;
  std::vector<std::string> there;
  run.watch.stepped = [&](const StepRecord& record, std::int64_t total) {
    CHECK(total == 10);
    if (record.step == 6) CHECK(fs::exists(run.root() / "checkpoints/step-00000005.safetensors"));
  };
  const TrainingOutcome outcome = run.start();
  CHECK_FALSE(outcome.first_evaluation);
  CHECK_FALSE(outcome.best_evaluation);
  CHECK(outcome.state.step == 10);
  CHECK(outcome.info.trained_parameters == 2 * 2 * ((64 + 64) + (64 + 32) + (96 + 64)));
}

TEST_CASE("examples that cannot be learnt from are refused before anything is written, with their number") {
  Run run;
  const auto fault = [&](Example example, ExitCode code) {
    auto training = run.training;
    training[2] = std::move(example);
    Machine machine(1);
    return fault_of([&] { run_training(machine.on, model("qwen2"), {training, {}}, run.recipe, {run.root()}, info(), false, {}); }, code);
  };
  CHECK(contains(fault({.ids = {5}}, ExitCode::kBadInput), "training example 3 has 1 tokens and none of them is to be predicted"));
  CHECK(contains(fault({.ids = {5, 6}, .answer_begin = 2}, ExitCode::kBadInput), "none of them"));
  CHECK(contains(fault({.ids = std::vector<std::int32_t>(200, 5)}, ExitCode::kTooLarge), "the model takes 128; lower data.max_tokens"));
  CHECK(contains(fault({.ids = std::vector<std::int32_t>(50, 5)}, ExitCode::kTooLarge), "example 3 has 50 tokens, a pass takes 40"));
  run.training.clear();
  CHECK(contains(fault_of([&] { run.start(); }, ExitCode::kBadInput), "no example"));
  CHECK_FALSE(fs::exists(run.root() / "log.jsonl"));
}

TEST_CASE("a plan counts steps, tokens and bytes as the run has them, and a pass is timed") {
  Run run;
  const TrainingData data{run.training, run.validation};
  std::int64_t tokens = 0, targets = 0;
  for (const Example& example : run.training) {
    tokens += example.size();
    targets += example.size() - example.answer_begin;
  }
  const TrainingPlan plan = plan_training({}, model("qwen2"), data, run.recipe);
  CHECK(plan.steps == 10);
  CHECK(plan.steps_in_epoch == 5);
  CHECK(plan.passes_in_epoch >= 5);
  CHECK(plan.tokens_in_epoch == tokens);
  CHECK(plan.target_tokens_in_epoch == targets);
  CHECK(plan.trained_bytes == 16 * plan.trained_parameters);
  CHECK(plan.pass_bytes > 0);
  const TrainingOutcome outcome = run.start();
  CHECK(outcome.state.num_tokens == 2 * tokens);
  CHECK(outcome.info.trained_parameters == plan.trained_parameters);

  const std::int64_t matrix = 256 * 64, layer = 64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 64 * 96 + 64 + 2 * 32 + 2 * 64;
  CHECK(plan.frozen_bytes == 4 * (2 * matrix + 2 * layer + 64));
  run.recipe.method = Method::kHybrid;
  CHECK(plan_training({}, model("qwen2"), data, run.recipe).frozen_bytes == 4 * (matrix + 2 * (layer - 2 * 64)));
  run.recipe.method = Method::kFull;
  CHECK(plan_training({}, model("qwen2"), data, run.recipe).frozen_bytes == 0);
  run.recipe.run.max_steps = 3;
  CHECK(plan_training({}, model("qwen2"), data, run.recipe).steps == 3);
  run.recipe.run.epochs = 0;
  CHECK(plan_training({}, model("qwen2"), data, run.recipe).steps == 3);

  run.recipe = small_recipe();
  run.recipe.data.pass_tokens = 200;
  const std::int64_t whole = plan_training({}, model("qwen2"), data, run.recipe).bytes();
  const auto fitting = [&](std::int64_t bytes) { return settings_that_fit({}, model("qwen2"), data, run.recipe, bytes); };
  const auto smaller = fitting(whole - 1);
  REQUIRE(smaller.size() == 1);
  CHECK(smaller[0].starts_with("data.pass_tokens="));
  run.recipe.data.pass_tokens = std::stoi(smaller[0].substr(smaller[0].find('=') + 1));
  CHECK(plan_training({}, model("qwen2"), data, run.recipe).bytes() < whole);
  run.recipe.data.pass_tokens = 40;
  const std::int64_t smallest = plan_training({}, model("qwen2"), data, run.recipe).bytes();
  CHECK(fitting(smallest - 1) == std::vector<std::string>{"recompute=true"});
  CHECK(fitting(1000).empty());

  const auto by_itself = [&](Backend::Kind kind, std::int64_t bytes) {
    return pass_tokens_for({.kind = kind}, model("qwen2"), data, run.recipe, bytes);
  };
  CHECK(by_itself(Backend::Kind::kCpu, 0) == 2048);
  run.recipe.precision = Precision::kF32;  // as on the processor, whose plans these are
  CHECK(by_itself(Backend::Kind::kCuda, std::int64_t{1} << 40) == 8192);
  CHECK(by_itself(Backend::Kind::kCuda, whole - 1) < 200);
  CHECK(by_itself(Backend::Kind::kCuda, 1000) == run.recipe.data.max_tokens);

  Machine machine(1);
  const double seconds = time_of_pass(machine.on, model("qwen2"), data, run.recipe);
  CHECK(seconds > 0);
  CHECK(seconds < 10);
}

namespace {

std::vector<double> losses_with(const Backend& on, Precision precision) {
  Run run;
  run.recipe.precision = precision;
  run.recipe.lora.targets = {"q_proj", "v_proj"};
  const TrainingData data{run.training, run.validation};
  CHECK(plan_training(on, model(run.base), data, run.recipe).frozen_bytes > 0);
  run_training(on, model(run.base), data, run.recipe, make_run_folder(run.root(), false), run.about, false, {});
  return losses_of(run.root());
}

void check_fp8(const Backend& on) {
  const auto exact = losses_with(on, Precision::kAuto), found = losses_with(on, Precision::kFp8), again = losses_with(on, Precision::kFp8);
  CHECK(found == again);
  CHECK(found != exact);
  REQUIRE(found.size() == exact.size());
  const auto mean = [](std::span<const double> losses) {
    return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size());
  };
  CHECK(mean(found) == doctest::Approx(mean(exact)).epsilon(0.01));
  const auto end = [&](const std::vector<double>& losses) { return mean(std::span(losses).last(5)); };
  CHECK(end(exact) < 0.98 * mean(std::span(exact).first(5)));  // there is something to lose
  CHECK(end(found) == doctest::Approx(end(exact)).epsilon(0.01));
}

}  // namespace

TEST_CASE("with frozen matrices in FP8 a run's loss stays within 1 % of the exact one, and does not change from run to run") {
  check_fp8({.kind = Backend::Kind::kReference});
  if (const auto at = gpu(); at && has_fp8(at->on)) check_fp8(at->on);
}

}  // namespace deskhand
