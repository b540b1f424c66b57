#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "deskhand/model/safetensors.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

void write(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string file_of(std::string_view header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  return bytes.append(header).append(data_bytes, '\1');
}

// What Safetensors::open says about the bytes; empty if it takes them.
std::string fault_of(std::string_view bytes) {
  const TemporaryFolder folder;
  write(folder.path() / "model.safetensors", bytes);
  try {
    Safetensors::open(folder.path());
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

}  // namespace

TEST_CASE("what write_safetensors writes is read back with names, types, shapes, bytes and metadata") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "adapter.safetensors";
  Tensor wide(DType::kF32, {2, 3}), narrow(DType::kBF16, {3});
  for (int i = 0; i < 6; ++i) wide.floats()[static_cast<std::size_t>(i)] = static_cast<float>(i) - 2.5f;
  narrow.view().as<std::uint16_t>()[1] = to_bf16(-7);
  const std::vector<std::pair<std::string, ConstView>> tensors = {{"a.narrow", narrow.view()}, {"b.wide", wide.view()}};
  write_safetensors(path, tensors, {{"format", "pt"}});

  const auto read = Safetensors::open(path);
  CHECK(read.metadata().at("format") == "pt");
  REQUIRE(read.tensors().all().size() == 2);
  CHECK(read.view("b.wide").shape() == Shape{2, 3});
  CHECK(read.view("b.wide").floats()[5] == 2.5f);
  CHECK(read.view("a.narrow").type() == DType::kBF16);
  CHECK(from_bf16(read.view("a.narrow").as<std::uint16_t>()[1]) == -7);
  CHECK(reinterpret_cast<std::uintptr_t>(read.view("b.wide").data()) % 8 == 0);
  CHECK_THROWS_AS(read.view("c"), Error);
}

TEST_CASE("an I64 tensor is listed and refused as a weight") {
  const TemporaryFolder folder;
  write(folder.path() / "x.safetensors", file_of(R"({"ids":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}})", 16));
  const auto read = Safetensors::open(folder.path() / "x.safetensors");
  REQUIRE(read.tensors().find("ids"));
  CHECK(read.tensors().find("ids")->stored_type == "I64");
  CHECK_THROWS_WITH_AS(read.view("ids"), doctest::Contains("is I64"), Error);
}

TEST_CASE("shards are one set of tensors, and a tensor that its shard lacks is named") {
  const TemporaryFolder folder;
  write(folder.path() / "1.safetensors", file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4));
  write(folder.path() / "2.safetensors", file_of(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4));
  const auto index = folder.path() / "model.safetensors.index.json";
  write(index, R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  CHECK(Safetensors::open(folder.path()).tensors().all().size() == 2);
  write(index, R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}})");
  CHECK_THROWS_WITH_AS(Safetensors::open(folder.path()), doctest::Contains("\"c\" should lie in 2.safetensors"), Error);
  write(index, R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors"}})");
  CHECK_THROWS_WITH_AS(Safetensors::open(folder.path()), doctest::Contains("\"b\" should lie in 1.safetensors"), Error);
  write(index, R"({"weight_map":{"a":"../1.safetensors"}})");
  CHECK_THROWS_WITH_AS(Safetensors::open(folder.path()), doctest::Contains("in the same folder"), Error);
  write(index, R"({"weight_map":{"a":"3.safetensors"}})");
  CHECK_THROWS_WITH_AS(Safetensors::open(folder.path()), doctest::Contains("3.safetensors"), Error);
  write(index, R"([1, 2)");
  CHECK_THROWS_WITH_AS(Safetensors::open(folder.path()), doctest::Contains("weight_map"), Error);
}

TEST_CASE("a hostile header is refused with one sentence that names the fault") {
  const auto tensor = [](std::string_view body) { return fmt::format(R"({{"t":{{{}}}}})", body); };
  CHECK(says(fault_of(""), "too short"));
  CHECK(says(fault_of(std::string(8, '\xff')), "header claims"));
  CHECK(says(fault_of(file_of("{}", 0).substr(0, 9)), "cut short"));
  std::string long_header = file_of("{}", 0);
  long_header[3] = '\x7f';  // two gigabytes
  CHECK(says(fault_of(long_header), "more than the 100000000 allowed"));
  CHECK(says(fault_of(file_of("{\"t\":", 0)), "not JSON"));
  CHECK(says(fault_of(file_of("[1]", 0)), "a list where none belongs"));
  CHECK(says(fault_of(file_of("7", 0)), "a number where none belongs"));
  CHECK(says(fault_of(file_of(std::string(100000, '['), 0)), "a list where none belongs"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"), 7)), "the file has 7 bytes of data"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), 8)), "lies at bytes 8 to 0"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), 8)), "asks for 12"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0])"), 0)), "any file"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8])"), 8)), "any file"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), 8)), "a negative number"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","shape":[1.5],"data_offsets":[0,8])"), 8)), "a fraction"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"), 8)), "F31"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","shape":[1,1,1,1,2],"data_offsets":[0,8])"), 8)), "5 dimensions"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","data_offsets":[0,4])"), 4)), "no shape"));
  CHECK(says(fault_of(file_of(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0])"), 4)), "data_offsets"));
  CHECK(says(
      fault_of(file_of(R"({"a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}})", 4)),
      "overlap"));
  CHECK(says(
      fault_of(file_of(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})", 2)),
      "stands there twice"));
  CHECK(fault_of(file_of(R"({"__metadata__":{"format":"pt"}})", 0)).empty());
}

TEST_CASE("a good file cut at any byte is refused and never read beyond its end") {
  const std::string good = file_of(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})", 16);
  CHECK(fault_of(good).empty());
  for (std::size_t length = 0; length < good.size(); ++length) CHECK(!fault_of(good.substr(0, length)).empty());
}

TEST_CASE("a good file with any bytes changed is read or refused, and what is read lies inside it") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model.safetensors";
  const std::string good = file_of(R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                                   R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}})",
                                   22);
  std::mt19937 random(7);
  int taken = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good;
    for (auto changes = 1 + random() % 3; changes > 0; --changes) bytes[random() % bytes.size()] = static_cast<char>(random());
    write(path, bytes);
    try {
      const auto file = Safetensors::open(path);
      std::size_t sum = 0;  // touches every byte that was handed out
      for (const auto& tensor : file.tensors().all())
        for (const auto byte : tensor.data) sum += static_cast<std::size_t>(byte);
      taken += sum > 0;
    } catch (const Error&) {
      // Refused, which is as good.
    }
  }
  CHECK(taken > 100);
}
