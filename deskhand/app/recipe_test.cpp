#include "deskhand/app/recipe.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "deskhand/base/error.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

Recipe built_in(const std::string& name, const std::vector<std::string>& overrides = {}) {
  return load_recipe(name, overrides);
}

std::string fault_of(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  try {
    read_recipe(toml, "x", "x.toml", overrides);
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kUsage);
    return error.what();
  }
}

bool contains(const std::string& text, std::string_view part) {
  CAPTURE(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("every file of recipes/ is built in, reads, and comes back the same when it is written and read") {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(DESKHAND_SOURCE_DIR "/recipes")) files.push_back(entry.path().stem());
  auto names = built_in_recipes();
  std::sort(files.begin(), files.end());
  std::sort(names.begin(), names.end());
  CHECK(files == names);
  for (const std::string& name : names) {
    CAPTURE(name);
    const Recipe recipe = built_in(name);
    CHECK(read_recipe(write_recipe(recipe), name, "again", {}) == recipe);
  }
}

TEST_CASE("the thesis recipes are the thesis project's settings") {
  const Recipe lora = built_in("thesis-lora"), hybrid = built_in("thesis-hybrid");
  for (const Recipe* r : {&lora, &hybrid}) {
    CHECK(r->lora.targets == std::vector<std::string>{"q_proj", "v_proj"});
    CHECK(r->lora.r == 16);
    CHECK(r->lora.alpha == 32);
    CHECK(r->data.format == TrainingFormat::kSeed);
    CHECK(r->data.loss_on == LossOn::kEverything);
    CHECK(r->data.max_tokens == 256);
    CHECK(r->data.batch == 8);
    CHECK(r->data.micro_batch == 2);
    CHECK_FALSE(r->data.keep_apart);
    CHECK(r->run.epochs == 2);
  }
  CHECK(lora.method == Method::kLora);
  CHECK(lora.lora.dropout == 0.15);
  CHECK(lora.optimizer.learning_rate == 1e-6);
  CHECK(lora.schedule.kind == ScheduleKind::kLinear);
  CHECK(lora.optimizer.weight_decay == 0.01);
  CHECK(lora.run.evaluate_every == 10);
  CHECK_FALSE(lora.recompute);
  CHECK(hybrid.method == Method::kHybrid);
  CHECK(hybrid.lora.dropout == 0.05);
  CHECK(hybrid.optimizer.learning_rate == 5e-6);
  CHECK(hybrid.schedule.kind == ScheduleKind::kCosine);
  CHECK(hybrid.schedule.warmup_steps == 100);
  CHECK(hybrid.optimizer.weight_decay == 0.1);
  CHECK(hybrid.run.evaluate_every == 60);
  CHECK(hybrid.recompute);
}

TEST_CASE("any value is set on the command line, the last one counts, and texts need no quotes") {
  const Recipe recipe = built_in("lora", {"lora.r=4", "lora.r = 8", "method=hybrid", "lora.targets=[\"q_proj\"]", "run.epochs=1.5",
                                          "optimizer.learning_rate=1e-3", "run.keep_best=false", "lora.targets=all-linear"});
  CHECK(recipe.lora.r == 8);
  CHECK(recipe.method == Method::kHybrid);
  CHECK(recipe.lora.targets == std::vector<std::string>{"all-linear"});
  CHECK(recipe.run.epochs == 1.5);
  CHECK(recipe.optimizer.learning_rate == 1e-3);
  CHECK_FALSE(recipe.run.keep_best);
}

TEST_CASE("an unknown key names the nearest known one, a wrong value what is wanted, wherever it stands") {
  CHECK(contains(fault_of("[lora]\nrnak_stabilised = true\n"),
                 "x.toml: line 2: nothing knows 'rnak_stabilised' in [lora]; did you mean 'rank_stabilised'?"));
  CHECK(contains(fault_of("metod = \"lora\"\n"), "did you mean 'method'?"));
  CHECK(contains(fault_of("[optimiser]\n"), "did you mean 'optimizer'?"));
  CHECK(contains(fault_of("", {"lora.rr=8"}), "--set lora.rr=8: line 1: nothing knows 'rr' in [lora]; did you mean 'r'?"));
  CHECK(contains(fault_of("", {"lora.r=eight"}), "lora.r must be a whole number from 1 to 4096"));
  CHECK(contains(fault_of("", {"method=qlora"}), "method must be one of \"lora\", \"hybrid\", \"full\""));
  CHECK(contains(fault_of("", {"lora.r"}), "key=value"));
  CHECK(contains(fault_of("lora = 3\n"), "a section [lora]"));
  CHECK(contains(fault_of("[run\n"), "x.toml: line 1"));
  CHECK(contains(fault_of("[data]\nmax_tokens = 4096\n"), "data.pass_tokens = 2048"));
}

TEST_CASE("a recipe is a built-in name or a file, and anything else lists the names") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "mine.toml";
  std::ofstream(path) << "method = \"full\"\n";
  const Recipe mine = load_recipe(path.string(), {});
  CHECK(mine.name == "mine");
  CHECK(mine.method == Method::kFull);
  CHECK(built_in("lora").name == "lora");
  CHECK_THROWS_WITH_AS(load_recipe("lroa", {}), doctest::Contains("neither a file nor one of lora, hybrid"), Error);
}

}  // namespace deskhand
