// A run that ends before its end, whatever ended it, goes on to what it would have become.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "deskhand/train/run_testing.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;
using namespace testing;
using End = TrainingOutcome::End;

}  // namespace

TEST_CASE("stopping at step 5 and resuming gives the same losses and the same adapter, to the bit") {
  for (const int stop : {1, 3, 5, 9, 10}) {
    CAPTURE(stop);
    Run through, parted;
    const TrainingOutcome expected = through.start();
    int taken = 0;
    parted.watch.stepped = [&](const StepRecord&, std::int64_t) { ++taken; };
    parted.watch.should_stop = stop_after(stop, taken);
    const TrainingOutcome first = parted.start();
    CHECK(first.end == End::kInterrupted);
    CHECK(first.state.step == stop);
    CHECK_FALSE(fs::exists(parted.root() / "adapter"));
    CHECK(read_run_info(parted.root() / "run.json").finished.empty());
    parted.watch.should_stop = nullptr;
    const TrainingOutcome second = parted.resume();
    CHECK(second.end == End::kFinished);
    CHECK(parted.adapter() == through.adapter());
    CHECK(log_of(parted.root()) == log_of(through.root()));
    CHECK(second.mean_train_loss == expected.mean_train_loss);
    CHECK(second.mean_train_accuracy == expected.mean_train_accuracy);
    CHECK(second.first_evaluation->loss == expected.first_evaluation->loss);
    CHECK(second.best_evaluation->step == expected.best_evaluation->step);
    CHECK(second.last_step->loss == expected.last_step->loss);
    CHECK(second.state.num_tokens == expected.state.num_tokens);
    CHECK_FALSE(read_run_info(parted.root() / "run.json").finished.empty());
  }
}

TEST_CASE("whatever moment a run's folder is taken from, it resumes to the same log and the same adapter") {
  Run through;
  through.recipe.run.checkpoint_every = 2;
  const TemporaryFolder copies(true);
  std::vector<fs::path> moments;
  const auto copy = [&] {
    moments.push_back(copies.path() / std::to_string(moments.size()));
    fs::copy(through.root(), moments.back(), fs::copy_options::recursive);
  };
  through.watch.stepped = [&](const StepRecord&, std::int64_t) { copy(); };
  through.watch.evaluated = [&](const EvalRecord&, bool) { copy(); };
  through.start();
  copy();
  CHECK(moments.size() == 10 + 5 + 1);  // evaluations before the first step, after 3, 6, 9 and at the end
  for (const fs::path& moment : moments) {
    CAPTURE(moment.filename().string());
    std::ofstream(moment / "log.jsonl", std::ios::app) << "{\"step\": 99, \"lo";  // a line that was being written
    Machine machine(1);
    run_training(machine.on, model("qwen2"), {through.training, through.validation}, through.recipe, {moment}, info(), true, {});
    CHECK(read_text_file(moment / "adapter/adapter_model.safetensors") == through.adapter());
    CHECK(log_of(moment) == log_of(through.root()));
  }
}

TEST_CASE("an evaluation that a stop cut off is made up once, also when the run is killed right after it") {
  Run through, parted;
  through.start();
  int asked = 0;
  parted.watch.stepped = [&](const StepRecord& record, std::int64_t) { asked = record.step == 6 ? 1 : 0; };
  parted.watch.should_stop = [&] { return asked > 0 && ++asked > 2; };  // not after step 6, but after its evaluation's first pass
  CHECK(parted.start().end == End::kInterrupted);
  CHECK(read_run_log(parted.root() / "log.jsonl").evaluations.back().step == 3);
  parted.watch = {};
  parted.watch.evaluated = [](const EvalRecord&, bool) { throw std::runtime_error("killed"); };
  CHECK_THROWS_AS(parted.resume(), std::runtime_error);
  CHECK(read_run_log(parted.root() / "log.jsonl").evaluations.back().step == 6);
  parted.watch = {};
  parted.resume();
  CHECK(parted.adapter() == through.adapter());
  CHECK(log_of(parted.root()) == log_of(through.root()));
}

TEST_CASE("killed again and again at moments of no choosing, a run ends in the same adapter to the bit") {
  Run through, killed;
  through.recipe.run.checkpoint_every = killed.recipe.run.checkpoint_every = 1;
  through.recipe.run.epochs = killed.recipe.run.epochs = 4;
  through.start();
  make_run_folder(killed.root(), false);
  int rounds = 0;
  for (useconds_t wait = 10000; !fs::exists(killed.root() / "adapter/adapter_config.json") && rounds < 60; wait += 4000, ++rounds) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        killed.resume();
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    ::usleep(wait);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  CHECK(rounds > 1);
  killed.resume();
  CHECK(killed.adapter() == through.adapter());
  CHECK(log_of(killed.root()) == log_of(through.root()));
}

TEST_CASE("damaged checkpoints are passed over with a warning and do not come back") {
  Run through, run;
  through.start();
  int taken = 0;
  run.watch.stepped = [&](const StepRecord&, std::int64_t) { ++taken; };
  run.watch.should_stop = stop_after(8, taken);
  run.start();
  std::string warning;
  run.watch = {.warned = [&](std::string_view text) { warning += text; }};
  fs::resize_file(run.root() / "checkpoints/step-00000008.safetensors", 200);
  run.resume();
  CHECK(contains(warning, "step-00000008"));
  CHECK(run.adapter() == through.adapter());
  CHECK(log_of(run.root()) == log_of(through.root()));
}

TEST_CASE("a run does not resume with other settings, other data or another base, nor begin where there is one") {
  Run run;
  int taken = 0;
  run.watch.stepped = [&](const StepRecord&, std::int64_t) { ++taken; };
  run.watch.should_stop = stop_after(2, taken);
  run.start();
  for (const auto& [part, change] :
       {std::pair{"recipe", &RunInfo::recipe_hash}, std::pair{"data", &RunInfo::data_hash}, std::pair{"base", &RunInfo::base_hash}}) {
    run.about = info();
    run.about.*change = "other";
    CHECK(contains(fault_of([&] { run.resume(); }, ExitCode::kUsage), fmt::format("the {} is not the one the run began with", part)));
  }
  run.about = info();
  CHECK(contains(fault_of([&] { run.go({run.root()}, false); }, ExitCode::kCannotWrite), "checkpoints of another run"));
  run.watch = {};
  CHECK(run.resume().end == End::kFinished);
}

TEST_CASE("a disk that fills up while logging or at the end: what is safe is said, and with room the run goes on to the same adapter") {
  Run through, full;
  through.start();
  const auto limited = [&](rlim_t bytes, const std::function<void()>& work) {
    const auto before = ::signal(SIGXFSZ, SIG_IGN);  // writing beyond so many bytes of a file fails as on a full disk
    rlimit old{};
    ::getrlimit(RLIMIT_FSIZE, &old);
    const rlimit tight{bytes, old.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &tight);
    const std::string fault = fault_of(work, ExitCode::kCannotWrite);
    ::setrlimit(RLIMIT_FSIZE, &old);
    ::signal(SIGXFSZ, before);
    return fault;
  };
  full.watch.stepped = [&](const StepRecord& record, std::int64_t) {
    if (record.step == 4) throw Error(ExitCode::kCannotWrite, "stopped here");
  };
  CHECK(contains(fault_of([&] { full.start(); }, ExitCode::kCannotWrite), "stopped here"));
  full.watch = {};
  const auto log_bytes = static_cast<rlim_t>(fs::file_size(full.root() / "log.jsonl"));
  CHECK(contains(limited(log_bytes + 10, [&] { full.resume(); }), "step-00000003.safetensors is whole: make room and resume from there"));
  full.resume();
  CHECK(full.adapter() == through.adapter());
  CHECK(log_of(full.root()) == log_of(through.root()));

  // Full when the last thing of all is written: no half adapter, and the run is not said to be finished.
  const auto adapter_bytes = fs::file_size(full.root() / "adapter/adapter_model.safetensors");
  REQUIRE(adapter_bytes > fs::file_size(full.root() / "log.jsonl"));
  fs::remove_all(full.root() / "adapter");
  const std::string fault = limited(static_cast<rlim_t>(adapter_bytes - 1), [&] { full.resume(); });
  CHECK(contains(fault, "adapter_model.safetensors"));
  CHECK(contains(fault, "step-00000010.safetensors is whole: make room and resume from there"));
  CHECK(fs::is_empty(full.root() / "adapter"));
  CHECK(read_run_info(full.root() / "run.json").finished.empty());
  full.resume();
  CHECK(full.adapter() == through.adapter());
}

}  // namespace deskhand
