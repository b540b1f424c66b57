#include "deskhand/train/merge.h"

#include <doctest/doctest.h>

#include <fstream>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/model/safetensors.h"
#include "deskhand/train/testing.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;
using testing::kGolden, testing::plain_backend, testing::base_of, testing::logits_of, testing::largest_difference;

}  // namespace

TEST_CASE("a merged model answers as peft's does: pairs, head, norms, a tied head made its own, one file or shards") {
  for (const char* name : {"qwen2-lora", "qwen2-hybrid", "llama-tied-hybrid", "llama-untied-patterns"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const fs::path golden = kGolden / "adapters" / name;
    const Decoder base = Decoder::load(kGolden / "models" / base_of(name));
    write_merged(plain_backend(), base, read_adapter(golden), folder.path(), DType::kF32, name[0] == 'q' ? 60000 : 1 << 30);
    CHECK(fs::exists(folder.path() / "model.safetensors.index.json") == (name[0] == 'q'));
    const Decoder merged = Decoder::load(folder.path());
    CHECK(merged.weights().unused.empty());
    const auto expected = Safetensors::open(golden / "expected.safetensors");
    const auto prompt = expected.view("prompt").as<std::int32_t>();
    const Tensor logits = logits_of(merged, prompt), raw = logits_of(base, prompt);
    CHECK(largest_difference(logits.floats(), expected.view("logits").floats()) < 2e-4);  // of logits up to 7, in f32
    CHECK(largest_difference(raw.floats(), expected.view("logits").floats()) > 0.5);      // the adapter matters
  }
}

TEST_CASE("merging nothing writes the base again, whatever it was read from") {
  for (const char* name : {"mistral", "smollm", "llama-tied", "gguf-qwen2-half"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const Decoder base = Decoder::load(kGolden / "models" / name);
    write_merged(plain_backend(), base, {}, folder.path(), DType::kF32);
    const Decoder again = Decoder::load(folder.path());
    CHECK(again.config().tied_head == base.config().tied_head);
    CHECK(again.config().eos == base.config().eos);
    const std::vector<std::int32_t> prompt = {1, 17, 99, 203, 5, 64};
    CHECK(largest_difference(logits_of(again, prompt).floats(), logits_of(base, prompt).floats()) < 1e-5);
  }
}

TEST_CASE("what cannot be merged is refused: another base's adapter, a GGUF whose rotation has factors") {
  const TemporaryFolder folder;
  const Decoder wide = Decoder::load(kGolden / "models/smollm"), factors = Decoder::load(kGolden / "models/gguf-llama-f32");
  CHECK_THROWS_WITH_AS(write_merged(plain_backend(), wide, read_adapter(kGolden / "adapters/qwen2-lora"), folder.path()),
                       doctest::Contains("another base model"), Error);
  CHECK_THROWS_WITH_AS(write_merged(plain_backend(), factors, {}, folder.path()), doctest::Contains("rope_freqs.weight"), Error);
}

}  // namespace deskhand
