#include "deskhand/train/run_folder.h"

#include <doctest/doctest.h>

#include <fstream>

#include "deskhand/base/error.h"
#include "deskhand/train/model_card.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

RunInfo info() {
  return {.name = "hybrid-1",
          .method = "hybrid",
          .base_model = "acme/Tiny | 1B",
          .base_hash = "b0",
          .recipe_name = "hybrid",
          .recipe_hash = "c0",
          .data = "desk 'acme', 4 900 tickets",
          .data_hash = "d0",
          .version = "0.1.0",
          .started = "2026-01-02T03:04:05Z",
          .finished = "2026-01-02T04:04:05Z",
          .train_examples = 4655,
          .validation_examples = 245,
          .trained_parameters = 1000,
          .all_parameters = 100000};
}

bool contains(const std::string& text, std::string_view part) {
  CAPTURE(part);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("what a run is, is read back as it was written, and its identity is base, recipe and data") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "run.json";
  write_run_info(path, info());
  CHECK(read_run_info(path) == info());
  CHECK(info().identity() == std::map<std::string, std::string>{{"base", "b0"}, {"data", "d0"}, {"recipe", "c0"}});
  std::ofstream(path) << R"({"name": 3})";
  CHECK_THROWS_WITH_AS(read_run_info(path), doctest::Contains("\"name\" is missing or not a text"), Error);
}

TEST_CASE("a run's folder is not begun twice unless forced, and forcing removes nothing but the run") {
  const TemporaryFolder folder;
  const auto root = folder.path() / "runs/one";
  CHECK_THROWS_WITH_AS(open_run_folder(root), doctest::Contains("no training run"), Error);
  const RunFolder run = make_run_folder(root, false);
  write_run_info(run.info(), info());
  std::filesystem::create_directories(run.checkpoints());
  std::ofstream(run.checkpoints() / "step-00000001.safetensors") << "x";
  std::ofstream(root / "notes.txt") << "mine";
  CHECK(open_run_folder(root).root == root);
  CHECK_THROWS_WITH_AS(make_run_folder(root, false), doctest::Contains("--resume"), Error);
  make_run_folder(root, true);
  CHECK_FALSE(std::filesystem::exists(run.checkpoints()));
  CHECK_FALSE(std::filesystem::exists(run.info()));
  CHECK(std::filesystem::exists(root / "notes.txt"));
}

TEST_CASE("a model card says what was trained on what, and how well, and no name breaks its tables") {
  ModelCard card{.info = info(), .base_licence = "apache-2.0", .steps = 1226, .num_tokens = 1234567, .skipped = 2, .seconds = 200};
  card.recipe.method = Method::kHybrid;
  card.recipe.lora.targets = {"q_proj", "v_proj"};
  card.cut = {.examples = 12, .answers = 1, .tokens = 345, .longest_tokens = 999};
  card.last_step = StepRecord{.step = 1226, .loss = 1.125, .entropy = 0.5, .mean_token_accuracy = 0.75};
  card.best_evaluation = EvalRecord{.step = 1200, .loss = 1.25, .entropy = 0.5, .mean_token_accuracy = 0.7};
  card.mean_train_loss = 1.5;
  card.mean_train_accuracy = 0.6;
  card.figures = {{"urgency accuracy", ".91 (.88 to .94)"}};
  card.warnings = {"2 steps were skipped:\nthe loss was no number"};
  const std::string text = write_model_card(card);
  CHECK(text.starts_with("---\nlicense: \"apache-2.0\"\nbase_model: \"acme/Tiny | 1B\"\nlibrary_name: peft\n"));
  CHECK(contains(text, "| base model | acme/Tiny \\| 1B, SHA-256 b0 |"));
  CHECK(contains(text, "LoRA of rank 16, alpha 32, dropout 0.05 on q_proj, v_proj; head and norms trained as they are"));
  CHECK(contains(text, "| parameters | 1000 (1.00 %) |"));
  CHECK(contains(text, "12 examples (345 tokens), 1 of them in their answer; the longest had 999 tokens"));
  CHECK(contains(text, "1226 of 16 examples, 2 skipped; 4 epochs, seed 42"));
  CHECK(contains(text, "1234567 in 3 min 20 s"));
  CHECK(contains(text, "| evaluation, best (step 1200) | 1.25 | 0.7 | 0.5 |"));
  CHECK(contains(text, "| urgency accuracy | .91 (.88 to .94) |"));
  CHECK(contains(text, "- 2 steps were skipped: the loss was no number\n"));
  CHECK(contains(text, "PeftModel.from_pretrained"));
  card.recipe.method = Method::kFull;
  CHECK(contains(write_model_card(card), "library_name: transformers"));
}

TEST_CASE("recipes that contradict themselves are refused with the key") {
  const auto fault = [](auto change) {
    Recipe recipe;
    change(recipe);
    try {
      check(recipe, "x.toml");
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  CHECK(fault([](Recipe&) {}).empty());
  CHECK(contains(fault([](Recipe& r) { r.method = Method::kFull, r.base = FrozenBase::kQ4; }), "cannot be quantised"));
  CHECK(contains(fault([](Recipe& r) { r.method = Method::kFull, r.precision = Precision::kFp8; }), "for frozen matrices"));
  CHECK(contains(fault([](Recipe& r) { r.base = FrozenBase::kQ8, r.precision = Precision::kFp8; }), "how frozen matrices are held"));
  CHECK(contains(fault([](Recipe& r) { r.lora.targets.clear(); }), "lora.targets is empty"));
  CHECK(contains(fault([](Recipe& r) { r.lora.targets = {"q_proj", "q_proj"}; }), "twice"));
  CHECK(contains(fault([](Recipe& r) { r.method = Method::kHybrid, r.lora.targets.push_back("lm_head"); }), "lm_head"));
  CHECK(contains(fault([](Recipe& r) { r.data.max_tokens = 4096; }), "data.pass_tokens = 2048"));
  CHECK(contains(fault([](Recipe& r) { r.data.format = TrainingFormat::kSeed, r.data.cases = 3; }), "data.cases is 3"));
  CHECK(contains(fault([](Recipe& r) { r.schedule.warmup_steps = 3, r.schedule.warmup_ratio = .1; }), "warmup_ratio"));
  CHECK(contains(fault([](Recipe& r) { r.run.patience = 3, r.data.validation_share = 0; }), "run.patience"));
  CHECK(contains(fault([](Recipe& r) { r.run.epochs = 0; }), "nothing to do"));
  Recipe recipe;
  recipe.schedule.warmup_ratio = 0.03;
  CHECK(schedule_of(recipe, 101).warmup_steps == 4);
  recipe.schedule.warmup_steps = 100;
  CHECK(schedule_of(recipe, 101).warmup_steps == 100);
}

}  // namespace deskhand
