#include "deskhand/train/records.h"

#include <doctest/doctest.h>

#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

StepRecord step_record(std::int64_t step) {
  return {.step = step,
          .epoch = 0.25 * static_cast<double>(step),
          .loss = 2.0 / static_cast<double>(step),
          .grad_norm = 0.5,
          .learning_rate = 1e-4,
          .entropy = 1.25,
          .num_tokens = 100 * step,
          .mean_token_accuracy = 0.75,
          .tokens_per_second = 41.5};
}

}  // namespace

TEST_CASE("checksums are Castagnoli's") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xe3069283);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);  // RFC 3720, B.4
}

TEST_CASE("an event file is byte for byte what TensorBoard's own writer makes") {
  const TemporaryFolder folder;
  const std::string expected = read_text_file(DESKHAND_SOURCE_DIR "/tests/golden/train/events.bin");
  EventFile first(folder.path(), 1700000000.25);
  first.add(std::vector<Scalar>{{"train/loss", 2.125f}, {"train/learning_rate", 0.f}}, 1, 1700000001.5);
  first.add(std::vector<Scalar>{{"eval/loss", -1e-5f}}, 300, 1700000002.0);
  const std::string bytes = read_text_file(first.path());
  CHECK(bytes.size() == 164);
  CHECK(bytes == expected.substr(0, bytes.size()));
  CHECK(first.path().filename() == "events.out.tfevents.1700000000.deskhand.0");

  EventFile second(folder.path(), 1700000003.0, 119);  // resumed behind step 119: steps from 120 on are forgotten
  CHECK(second.path() != first.path());
  const std::string resumed = read_text_file(second.path());
  CHECK(resumed.substr(resumed.size() - 31) == expected.substr(expected.size() - 31));
}

TEST_CASE("a run's log is read back as it was written, numbers that are none included") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "log.jsonl";
  RunLogWriter writer(path, folder.path() / "tensorboard", 0, 1e9);
  writer.add(step_record(1), 1e9);
  StepRecord broken = step_record(2);
  broken.loss = std::nan("");
  broken.skipped = true;
  writer.add(broken, 1e9);
  writer.add(EvalRecord{.step = 2,
                        .epoch = 0.5,
                        .loss = 1.5,
                        .entropy = 0.5,
                        .mean_token_accuracy = 0.625,
                        .runtime_s = 3,
                        .samples_per_second = 14,
                        .num_tokens = 200},
             1e9);
  const RunLog log = read_run_log(path);
  REQUIRE(log.steps.size() == 2);
  REQUIRE(log.evaluations.size() == 1);
  CHECK(log.steps[0].loss == 2);
  CHECK(log.steps[0].num_tokens == 100);
  CHECK(log.steps[0].tokens_per_second == 41.5);
  CHECK_FALSE(log.steps[0].skipped);
  CHECK(std::isnan(log.steps[1].loss));
  CHECK(log.steps[1].skipped);
  CHECK(log.evaluations[0].loss == 1.5);
  CHECK(log.evaluations[0].samples_per_second == 14);
  CHECK(log.evaluations[0].epoch == 0.5);
  CHECK_THROWS_AS(RunLogWriter(path, folder.path() / "tensorboard", 0, 1e9), Error);
}

TEST_CASE("a resumed run forgets what was logged after its checkpoint, a half-written line too") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "log.jsonl";
  {
    RunLogWriter writer(path, folder.path(), 0, 1e9);
    for (std::int64_t step = 1; step <= 5; ++step) writer.add(step_record(step), 1e9);
  }
  std::ofstream(path, std::ios::app) << R"({"step":6,"los)";
  CHECK(read_run_log(path).steps.size() == 5);
  RunLogWriter resumed(path, folder.path(), 3, 1e9 + 5);
  resumed.add(step_record(4), 1e9);
  const RunLog log = read_run_log(path);
  REQUIRE(log.steps.size() == 4);
  CHECK(log.steps.back().step == 4);
}

TEST_CASE("a line that is no record is refused with its number") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "log.jsonl";
  std::ofstream(path) << "{\"step\": 1, \"loss\": \"low\"}\n";
  CHECK_THROWS_WITH_AS(read_run_log(path), doctest::Contains("line 1: \"loss\" is not a number"), Error);
  std::ofstream(path) << R"({"step":1,"loss":1,"grad_norm":1,"learning_rate":1,"entropy":1,"num_tokens":1e300})"
                         "\n";
  CHECK_THROWS_WITH_AS(read_run_log(path), doctest::Contains("\"num_tokens\" is not a whole number"), Error);
  std::ofstream(path) << "[]\n";
  CHECK_THROWS_WITH_AS(read_run_log(path), doctest::Contains("line 1"), Error);
  CHECK_THROWS_AS(read_run_log(folder.path() / "none.jsonl"), Error);
}

}  // namespace deskhand
