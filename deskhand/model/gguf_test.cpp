#include <doctest/doctest.h>

#include <chrono>
#include <fstream>
#include <limits>
#include <random>

#include "deskhand/model/gguf.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

// Writes the format by hand, so that every lie can be told.
class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(std::string_view text) {
    put<std::uint64_t>(text.size());
    text_ += text;
    return *this;
  }
  Bytes& header(std::uint64_t tensors, std::uint64_t values, std::uint32_t version = 3) {
    return put<std::uint32_t>(0x46554747).put(version).put(tensors).put(values);
  }
  Bytes& tensor(std::string_view name, std::vector<std::uint64_t> fastest_first, std::uint32_t type, std::uint64_t offset) {
    text(name).put(static_cast<std::uint32_t>(fastest_first.size()));
    for (const auto extent : fastest_first) put(extent);
    return put(type).put(offset);
  }
  Bytes& data(std::size_t count, std::size_t alignment = 32) {
    text_.resize((text_.size() + alignment - 1) / alignment * alignment);
    text_.append(count, '\2');
    return *this;
  }
  operator std::string_view() const { return text_; }  // NOLINT
  const std::string& string() const { return text_; }

 private:
  std::string text_;
};

Gguf open(const TemporaryFolder& folder, std::string_view bytes) {
  const auto path = folder.path() / "model.gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  return Gguf::open(path);
}

std::string fault_of(std::string_view bytes) {
  const TemporaryFolder folder;
  try {
    open(folder, bytes);
    return "";
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kBadInput);
    return error.what();
  }
}

bool says(const std::string& fault, std::string_view part) {
  CAPTURE(fault);
  return fault.find(part) != std::string::npos;
}

constexpr std::uint32_t kU32 = 4, kF32 = 6, kBool = 7, kText = 8, kArray = 9, kU64 = 10;

Bytes small_file() {
  return Bytes()
      .header(2, 6)
      .text("general.architecture")
      .put(kText)
      .text("llama")
      .text("llama.block_count")
      .put(kU32)
      .put<std::uint32_t>(22)
      .text("llama.rope.freq_base")
      .put(kF32)
      .put(5e5f)
      .text("tokenizer.ggml.add_bos_token")
      .put(kBool)
      .put<std::uint8_t>(1)
      .text("tokenizer.ggml.tokens")
      .put(kArray)
      .put(kText)
      .put<std::uint64_t>(3)
      .text("a")
      .text("")
      .text("\xC4\xA0the")
      .text("tokenizer.ggml.token_type")
      .put(kArray)
      .put(kU32)
      .put<std::uint64_t>(2)
      .put<std::uint32_t>(1)
      .put<std::uint32_t>(3)
      .tensor("blk.0.attn_q.weight", {64, 2}, 8, 0)
      .tensor("output_norm.weight", {3}, 0, 160)
      .data(160 + 12);
}

}  // namespace

TEST_CASE("metadata come back typed and tensors with the fastest axis last") {
  const TemporaryFolder folder;
  const auto file = open(folder, small_file());
  CHECK(file.text("general.architecture") == "llama");
  CHECK(file.integer("llama.block_count") == 22);
  CHECK(file.number("llama.rope.freq_base") == 5e5);
  CHECK(file.number("llama.block_count") == 22.0);
  CHECK(file.flag("tokenizer.ggml.add_bos_token") == true);
  REQUIRE(file.texts("tokenizer.ggml.tokens").size() == 3);
  CHECK(file.texts("tokenizer.ggml.tokens")[2] == "\xC4\xA0the");
  CHECK(file.integers("tokenizer.ggml.token_type")[1] == 3);
  CHECK(!file.integer("absent"));
  CHECK(file.texts("absent").empty());
  CHECK_THROWS_WITH_AS(file.text("llama.block_count"), doctest::Contains("\"llama.block_count\" is not a text"), Error);

  const auto* q = file.tensors().find("blk.0.attn_q.weight");
  REQUIRE(q);
  CHECK(q->shape == Shape{2, 64});
  CHECK(q->type == DType::kQ8_0);
  CHECK(q->data.size() == 2 * 2 * 34);
  CHECK(file.tensors().find("output_norm.weight")->data.size() == 12);
}

TEST_CASE("version 2 reads like version 3") {
  const TemporaryFolder folder;
  CHECK(open(folder, Bytes().header(1, 0, 2).tensor("t", {2}, 0, 0).data(8)).tensors().find("t"));
}

TEST_CASE("a hostile file is refused with one sentence that names the fault") {
  constexpr auto kHuge = std::numeric_limits<std::uint64_t>::max();
  CHECK(says(fault_of("GGML and more bytes"), "does not begin with"));
  CHECK(says(fault_of(""), "goes beyond the end"));
  CHECK(says(fault_of(Bytes().header(0, 0, 1)), "version 1"));
  CHECK(says(fault_of(Bytes().header(0, 0, 0x03000000)), "big-endian"));
  CHECK(says(fault_of(Bytes().header(kHuge, 0)), "entries of tensors"));
  CHECK(says(fault_of(Bytes().header(0, kHuge)), "entries of metadata"));
  CHECK(says(fault_of(Bytes().header(0, 1).put(kHuge).data(100)), "a metadata key at byte 32 goes beyond"));
  CHECK(says(fault_of(Bytes().header(0, 1).text("k").put(kText).put(kHuge).data(100)), "k at byte"));
  CHECK(says(fault_of(Bytes().header(0, 1).text("k").put(kArray).put(kText).put(kHuge).data(100)), "entries of k"));
  CHECK(says(fault_of(Bytes().header(0, 1).text("k").put(kArray).put(kArray).put<std::uint64_t>(1).data(100)), "array of type 9"));
  CHECK(says(fault_of(Bytes().header(0, 1).text("k").put<std::uint32_t>(77).data(100)), "unknown type 77"));
  CHECK(says(fault_of(Bytes().header(0, 1).text("k").put(kU64).put(kHuge).data(100)), "too large"));
  CHECK(says(fault_of(Bytes().header(0, 2).text("k").put(kU32).put(1).text("k").put(kU32).put(2)), "\"k\" stands there twice"));
  CHECK(says(fault_of(Bytes().header(0, 1).text("general.alignment").put(kU32).put(48)), "power of two"));
  CHECK(says(fault_of(Bytes().header(0, 1).text("split.count").put(kU32).put(3)), "one of 3 parts"));
  CHECK(says(fault_of(Bytes().header(1, 0).tensor("w", {256}, 10, 0).data(100)), "the tensor \"w\" is of type Q2_K"));
  CHECK(says(fault_of(Bytes().header(1, 0).tensor("w", {256}, 4711, 0).data(100)), "the tensor \"w\" is of type number 4711"));
  CHECK(says(fault_of(Bytes().header(1, 0).tensor("w", {33}, 8, 0).data(100)), "shape (33), which Q8_0 cannot hold"));
  CHECK(says(fault_of(Bytes().header(1, 0).tensor("w", {1, 1, 1, 1, 1}, 0, 0).data(100)), "5 dimensions"));
  CHECK(says(fault_of(Bytes().header(1, 0).tensor("w", {1ull << 33, 1ull << 33}, 0, 0).data(100)), "cannot hold"));
  CHECK(says(fault_of(Bytes().header(1, 0).tensor("w", {4}, 0, 0).data(15)), "needs 16 bytes at 0"));
  CHECK(says(fault_of(Bytes().header(1, 0).tensor("w", {4}, 0, kHuge - 31).data(16)), "needs 16 bytes"));
  CHECK(says(fault_of(Bytes().header(1, 0).tensor("w", {4}, 0, 8).data(64)), "not at a multiple of 32"));
  CHECK(says(fault_of(Bytes().header(2, 0).tensor("a", {16}, 0, 0).tensor("b", {4}, 0, 32).data(64)), "\"b\" overlaps"));
  CHECK(says(fault_of(Bytes().header(2, 0).tensor("a", {4}, 0, 0).tensor("a", {4}, 0, 32).data(64)), "stands there twice"));
}

TEST_CASE("a good file cut at any byte is refused and never read beyond its end") {
  const std::string good = small_file().string();
  CHECK(fault_of(good).empty());
  for (std::size_t length = 0; length < good.size(); ++length) CHECK(!fault_of(good.substr(0, length)).empty());
}

TEST_CASE("a good file with any bytes changed is read or refused, and what is read lies inside it") {
  const TemporaryFolder folder;
  const std::string good = small_file().string();
  std::mt19937 random(7);
  int taken = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (auto changes = 1 + random() % 3; changes > 0; --changes)
      bytes[random() % bytes.size()] = static_cast<char>(random() % 3 ? random() : 255);
    try {
      const auto file = open(folder, bytes);
      std::size_t sum = 0;  // touches every byte that was handed out
      for (const auto& tensor : file.tensors().all())
        for (const auto byte : tensor.data) sum += static_cast<std::size_t>(byte);
      for (const auto text : file.texts("tokenizer.ggml.tokens")) sum += text.size();
      taken += sum > 0;
    } catch (const Error&) {
      // Refused, which is as good.
    }
  }
  CHECK(taken > 100);  // most changes hit the data
}

TEST_CASE("tables of 150 000 tokens and merges are read in a fraction of a second") {
  Bytes bytes;
  bytes.header(0, 2);
  for (const char* key : {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"}) {
    bytes.text(key).put(kArray).put(kText).put<std::uint64_t>(150000);
    for (int i = 0; i < 150000; ++i) bytes.text("token number " + std::to_string(i));
  }
  const TemporaryFolder folder;
  const auto begin = std::chrono::steady_clock::now();
  const auto file = open(folder, bytes);
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  CHECK(file.texts("tokenizer.ggml.merges")[149999] == "token number 149999");
  MESSAGE("150 000 tokens and as many merges, with writing the file: ", ms, " ms");
  CHECK(ms < 500);  // a tenth of that on an idle machine
}
