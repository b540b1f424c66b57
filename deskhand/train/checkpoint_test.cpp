#include "deskhand/train/checkpoint.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;
using Tensors = std::vector<std::pair<std::string, ConstView>>;

TrainingState state_at(std::int64_t step) {
  TrainingState state;
  state.step = step;
  state.place = {.epoch = 1, .step = step % 7};
  state.num_tokens = 1000 * step;
  state.evaluated = step - 2;
  state.updates = step - 1;
  state.skipped = 1;
  state.seconds = 0.1 * static_cast<double>(step);
  state.schedule = {.kind = ScheduleKind::kCosine, .warmup_steps = 3, .total_steps = 100};
  state.best = {.loss = 1.0 / 3, .step = 2, .since = 1};
  state.generators["shuffle"] = {0xffffffffffffffff, 1, 2, 0x8000000000000000};
  state.identity = {{"recipe", "0123456789abcdef"}, {"data", "feed"}};
  return state;
}

Tensor filled(std::int64_t count, float value) {
  Tensor tensor(DType::kF32, {count});
  for (float& one : tensor.floats()) one = value;
  return tensor;
}

}  // namespace

TEST_CASE("a checkpoint is read back to the bit") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "one.safetensors";
  Tensor weights(DType::kF32, {3, 5});
  for (std::size_t i = 0; i < 15; ++i) weights.floats()[i] = std::exp(static_cast<float>(i) - 7.f);
  const Tensor moments = filled(4, -0.f);
  write_checkpoint(path, state_at(12), Tensors{{"w", weights.view()}, {"first_moments", moments.view()}});
  const Checkpoint read = read_checkpoint(path);
  const TrainingState expected = state_at(12);
  CHECK(read.state.step == 12);
  CHECK(read.state.place == expected.place);
  CHECK(read.state.num_tokens == 12000);
  CHECK(read.state.evaluated == 10);
  CHECK(read.state.updates == 11);
  CHECK(read.state.skipped == 1);
  CHECK(read.state.seconds == expected.seconds);
  CHECK(read.state.schedule == expected.schedule);
  CHECK(read.state.best.loss == expected.best.loss);
  CHECK(read.state.best.since == 1);
  CHECK(read.state.generators == expected.generators);
  CHECK(read.state.identity == expected.identity);
  REQUIRE(read.tensors.size() == 2);
  CHECK(std::equal(weights.floats().begin(), weights.floats().end(), read.tensors.at("w").floats().begin()));
  CHECK(std::signbit(read.tensors.at("first_moments").floats()[0]));

  TrainingState fresh;
  write_checkpoint(path, fresh, Tensors{{"w", weights.view()}});
  CHECK(std::isinf(read_checkpoint(path).state.best.loss));
}

TEST_CASE("any changed byte of a checkpoint is noticed") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "one.safetensors";
  const Tensor weights = filled(6, 1.5f);
  write_checkpoint(path, state_at(1), Tensors{{"w", weights.view()}});
  const std::string good = read_text_file(path);
  const auto header_end = 8 + static_cast<std::size_t>(static_cast<unsigned char>(good[0]) | static_cast<unsigned char>(good[1]) << 8);
  for (std::size_t i = 0; i < good.size(); ++i) {
    if (i < header_end && good[i] == ' ') continue;  // padding of the header says nothing
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    fs::remove(path);  // some file systems sync a file that is written over
    std::ofstream(path, std::ios::binary) << bad;
    CAPTURE(i);
    CHECK_THROWS_AS(read_checkpoint(path), Error);
  }
}

TEST_CASE("a resumed run with another recipe, base or data is refused by name") {
  const TrainingState kept = state_at(1);
  check_identity(kept, {{"recipe", "0123456789abcdef"}}, "run");
  CHECK_THROWS_WITH_AS(check_identity(kept, {{"data", "beef"}}, "run"),
                       doctest::Contains("the data is not the one the run began with (feed then, beef now)"), Error);
  CHECK_THROWS_WITH_AS(check_identity(kept, {{"base", "1"}}, "run"), doctest::Contains("unknown then"), Error);
}

TEST_CASE("the last checkpoints and the best are kept, the others go") {
  const TemporaryFolder folder;
  CheckpointFolder checkpoints(folder.path() / "checkpoints", 2);
  CHECK_FALSE(checkpoints.latest().checkpoint);
  const Tensor weights = filled(3, 1);
  for (std::int64_t step = 1; step <= 6; ++step) checkpoints.save(state_at(step), Tensors{{"w", weights.view()}});
  CHECK(checkpoints.steps() == std::vector<std::int64_t>{2, 5, 6});  // 2 is the best
  CHECK(checkpoints.latest().checkpoint->state.step == 6);
}

TEST_CASE("a damaged checkpoint is passed over with a warning, and what an interrupted write left is cleared away") {
  const TemporaryFolder folder;
  const Tensor weights = filled(3, 1);
  {
    CheckpointFolder checkpoints(folder.path(), 3);
    for (std::int64_t step = 3; step <= 4; ++step) checkpoints.save(state_at(step), Tensors{{"w", weights.view()}});
    fs::resize_file(checkpoints.path_of(4), 100);
  }
  std::ofstream(folder.path() / "step-00000005.safetensors.part-2147483646") << "half";
  std::ofstream(folder.path() / "notes.txt") << "mine";
  const CheckpointFolder checkpoints(folder.path(), 3);
  CHECK_FALSE(fs::exists(folder.path() / "step-00000005.safetensors.part-2147483646"));
  CHECK(fs::exists(folder.path() / "notes.txt"));
  const auto found = checkpoints.latest();
  REQUIRE(found.checkpoint);
  CHECK(found.checkpoint->state.step == 3);
  REQUIRE(found.warnings.size() == 1);
  CHECK(found.warnings[0].find("step-00000004") != std::string::npos);
}

TEST_CASE("a checkpoint of another format version ends the resuming, and no older one takes its place") {
  const TemporaryFolder folder;
  const Tensor weights = filled(3, 1);
  CheckpointFolder checkpoints(folder.path(), 3);
  for (std::int64_t step = 3; step <= 4; ++step) checkpoints.save(state_at(step), Tensors{{"w", weights.view()}});
  std::string bytes = read_text_file(checkpoints.path_of(4));
  const std::string version = R"("deskhand_checkpoint":")";
  const auto at = bytes.find(version);
  REQUIRE(at != std::string::npos);
  bytes[at + version.size()] = '2';
  fs::remove(checkpoints.path_of(4));
  std::ofstream(checkpoints.path_of(4), std::ios::binary) << bytes;
  try {
    checkpoints.latest();
    FAIL("it was passed over");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kUsage);
    CHECK(std::string(error.what()).find("another version of deskhand, in format '2'; this one reads format '1'") != std::string::npos);
  }
}

TEST_CASE("a damaged checkpoint of a later step does not outlive the good one that the run goes on from") {
  const TemporaryFolder folder;
  const Tensor weights = filled(3, 1);
  CheckpointFolder checkpoints(folder.path(), 1);
  checkpoints.save(state_at(3), Tensors{{"w", weights.view()}});
  std::ofstream(checkpoints.path_of(9)) << "half";
  checkpoints.remove_after(3);
  CHECK(checkpoints.steps() == std::vector<std::int64_t>{3});
  checkpoints.save(state_at(4), Tensors{{"w", weights.view()}});
  CHECK(checkpoints.latest().checkpoint->state.step == 4);
}

TEST_CASE("a disk that fills up leaves the last good checkpoint and says so") {
  const TemporaryFolder folder;
  CheckpointFolder checkpoints(folder.path(), 1);
  const Tensor small = filled(8, 1), large = filled(100000, 2);
  checkpoints.save(state_at(3), Tensors{{"w", small.view()}});

  const auto before = ::signal(SIGXFSZ, SIG_IGN);  // no file of this process may grow beyond 64 KB: writing fails as on a full disk
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit tight{65536, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tight);
  std::string fault;
  try {
    checkpoints.save(state_at(4), Tensors{{"w", large.view()}});
  } catch (const Error& error) {
    fault = error.what();
    CHECK(error.code() == ExitCode::kCannotWrite);
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, before);
  CHECK(fault.find("step-00000003.safetensors is whole: make room and resume") != std::string::npos);
  CHECK(checkpoints.steps() == std::vector<std::int64_t>{3});
  CHECK(checkpoints.latest().checkpoint->state.step == 3);
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("killed at any moment, a run finds a whole checkpoint, and never an older one than it had seen written") {
  const TemporaryFolder folder;
  for (int round = 0; round < 12; ++round) {
    int written[2];
    REQUIRE(::pipe(written) == 0);
    const auto started = CheckpointFolder(folder.path(), 2).latest();
    const std::int64_t from = started.checkpoint ? started.checkpoint->state.step : 0;
    const pid_t child = ::fork();
    if (child == 0) {
      CheckpointFolder checkpoints(folder.path(), 2);
      for (std::int64_t step = from + 1;; ++step) {
        const Tensor weights = filled(200000, static_cast<float>(step));
        checkpoints.save(state_at(step), Tensors{{"w", weights.view()}});
        if (::write(written[1], &step, sizeof step) != sizeof step) ::_exit(1);
      }
    }
    ::usleep(static_cast<useconds_t>(3000 + 2700 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(written[1]);
    std::int64_t seen = from, step = 0;
    while (::read(written[0], &step, sizeof step) == sizeof step) seen = step;
    ::close(written[0]);
    const auto found = CheckpointFolder(folder.path(), 2).latest();
    CHECK(found.warnings.empty());
    const std::int64_t there = found.checkpoint ? found.checkpoint->state.step : 0;
    CHECK(there >= seen);
    if (found.checkpoint) CHECK(found.checkpoint->tensors.at("w").floats()[199999] == static_cast<float>(there));
  }
}

TEST_CASE("the best evaluation is remembered, small gains do not count, and patience ends") {
  EarlyStopping best;
  CHECK(best.take(2.0, 10, 0.1));
  CHECK_FALSE(best.take(1.95, 20, 0.1));
  CHECK_FALSE(best.take(std::nan(""), 30, 0.1));
  CHECK(best.should_stop(2));
  CHECK_FALSE(best.should_stop(3));
  CHECK_FALSE(best.should_stop(0));
  CHECK(best.take(1.8, 40, 0.1));
  CHECK(best.step == 40);
  CHECK(best.since == 0);
}

}  // namespace deskhand
