#include "deskhand/model/gguf_writer.h"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>

#include "deskhand/base/mapped_file.h"
#include "deskhand/model/gguf.h"
#include "deskhand/model/weights.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string text_of(std::string_view text) {
  return bytes_of<std::uint64_t>(text.size()) + std::string(text);
}

const std::vector<float> kValues = {1, 2, 3, 4, 5, 6};

GgufWriter::NewTensor matrix() {  // (3, 2) in parts of two rows
  return {"m", DType::kF32, {3, 2}, 2, [](std::int64_t first, std::int64_t count) {
            return ConstView(std::span(kValues), {3, 2}).rows(first, count);
          }};
}

}  // namespace

TEST_CASE("a GGUF file is, byte for byte, what the specification says") {
  const TemporaryFolder folder;
  GgufWriter out;
  out.put_text("a", "hi");
  out.put_u32("b", 7);
  out.put_f32("c", 0.5);
  out.put_flag("d", true);
  out.put_texts("e", std::vector<std::string>{"x", ""});
  out.put_i32s("f", std::vector<std::int32_t>{-1});
  out.put_f32s("g", std::vector<float>{2});
  out.add(matrix());
  out.add({"v", DType::kF32, {1}, 0, [](std::int64_t, std::int64_t) { return ConstView(std::span(kValues).first(1), {1}); }});
  out.write(folder.path() / "x.gguf");

  std::string wanted = "GGUF" + bytes_of<std::uint32_t>(3) + bytes_of<std::uint64_t>(2) + bytes_of<std::uint64_t>(7);
  const auto entry = [&](std::string_view key, std::uint32_t type, const std::string& value) {
    wanted += text_of(key) + bytes_of(type) + value;
  };
  entry("a", 8, text_of("hi"));
  entry("b", 4, bytes_of<std::uint32_t>(7));
  entry("c", 6, bytes_of(0.5f));
  entry("d", 7, "\1");
  entry("e", 9, bytes_of<std::uint32_t>(8) + bytes_of<std::uint64_t>(2) + text_of("x") + text_of(""));
  entry("f", 9, bytes_of<std::uint32_t>(5) + bytes_of<std::uint64_t>(1) + bytes_of<std::int32_t>(-1));
  entry("g", 9, bytes_of<std::uint32_t>(6) + bytes_of<std::uint64_t>(1) + bytes_of(2.0f));
  wanted +=
      text_of("m") + bytes_of<std::uint32_t>(2) + bytes_of<std::uint64_t>(2) + bytes_of<std::uint64_t>(3);  // the fastest extent first
  wanted += bytes_of<std::uint32_t>(0) + bytes_of<std::uint64_t>(0);
  wanted +=
      text_of("v") + bytes_of<std::uint32_t>(1) + bytes_of<std::uint64_t>(1) + bytes_of<std::uint32_t>(0) + bytes_of<std::uint64_t>(32);
  wanted.resize((wanted.size() + 31) / 32 * 32);
  for (const float value : kValues) wanted += bytes_of(value);
  wanted += std::string(8, '\0') + bytes_of(1.0f) + std::string(28, '\0');
  CHECK(read_text_file(folder.path() / "x.gguf") == wanted);
}

TEST_CASE("metadata of any type is taken over from another file unread") {
  const TemporaryFolder folder;
  const Gguf first = Gguf::open(std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/models/gguf-llama-k/model.gguf");
  GgufWriter out;
  for (const auto& [key, value] : first.metadata()) out.put_raw(key, first.raw(key));
  out.write(folder.path() / "x.gguf");
  const Gguf again = Gguf::open(folder.path() / "x.gguf");
  REQUIRE(again.metadata().size() == first.metadata().size());
  for (std::size_t i = 0; i < first.metadata().size(); ++i) CHECK(again.metadata()[i] == first.metadata()[i]);
  CHECK(first.raw("nothing").empty());
}

TEST_CASE("what goes wrong while a tensor is made leaves no file, and what was there stays") {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "x.gguf") << "before";
  GgufWriter out;
  GgufWriter::NewTensor broken = matrix();
  broken.rows = [](std::int64_t first, std::int64_t count) -> ConstView {
    if (first > 0) throw Error(ExitCode::kInterrupted, "stopped");
    return ConstView(std::span(kValues), {3, 2}).rows(first, count);
  };
  out.add(std::move(broken));
  CHECK_THROWS_AS(out.write(folder.path() / "x.gguf"), Error);
  CHECK(read_text_file(folder.path() / "x.gguf") == "before");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("names of tensors go from Hugging Face's to GGUF's and back") {
  for (const auto& [ours, theirs] :
       std::vector<std::pair<std::string, std::string>>{{"model.embed_tokens.weight", "token_embd.weight"},
                                                        {"model.norm.weight", "output_norm.weight"},
                                                        {"lm_head", "output"},
                                                        {"model.layers.12.self_attn.q_proj.bias", "blk.12.attn_q.bias"},
                                                        {"model.layers.0.self_attn.o_proj", "blk.0.attn_output"},
                                                        {"model.layers.3.mlp.up_proj.weight.lora_a", "blk.3.ffn_up.weight.lora_a"},
                                                        {"model.layers.3.input_layernorm.weight", "blk.3.attn_norm.weight"}}) {
    CHECK(gguf_name(ours) == theirs);
    CHECK(hugging_face_name(theirs) == ours);
  }
  for (const char* other : {"rope_freqs.weight", "blk.x.attn_q.weight", "blk.1.attn_qkv.weight", "", "blk.", "outputs"})
    CHECK(hugging_face_name(other).empty());
}

}  // namespace deskhand
