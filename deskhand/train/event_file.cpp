#include "deskhand/train/event_file.h"

#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    table[byte] = crc;
  }
  return table;
}();

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

// Fields of a protocol buffer: number and wire type in one byte, since all numbers here are below 16.
std::string varint_field(int number, std::uint64_t value) {
  return static_cast<char>(number << 3 | 0) + varint(value);
}
std::string double_field(int number, double value) {
  return static_cast<char>(number << 3 | 1) + little_endian(value);
}
std::string bytes_field(int number, std::string_view bytes) {
  return static_cast<char>(number << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
std::string float_field(int number, float value) {
  return static_cast<char>(number << 3 | 5) + little_endian(value);
}

std::string framed(std::string_view data) {
  const auto masked = [](std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; };
  const std::string length = little_endian(std::uint64_t{data.size()});
  return length + little_endian(masked(length)) + std::string(data) + little_endian(masked(data));
}

std::filesystem::path free_name(const std::filesystem::path& folder, double wall_time) {
  std::error_code fault;
  std::filesystem::create_directories(folder, fault);
  if (fault) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), fault.message());
  for (int number = 0;; ++number) {
    auto path = folder / fmt::format("events.out.tfevents.{:010.0f}.deskhand.{}", std::floor(wall_time), number);
    if (!std::filesystem::exists(path)) return path;
  }
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char byte : bytes) crc = kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff] ^ crc >> 8;
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder, double wall_time, std::int64_t from_step)
    : path_(free_name(folder, wall_time)), file_(path_, std::ios::binary) {
  write(double_field(1, wall_time) + bytes_field(3, "brain.Event:2"));
  if (from_step > 0) {  // SessionLog{status: START}: later steps of earlier files are forgotten
    constexpr std::uint64_t kStart = 1;
    write(double_field(1, wall_time) + varint_field(2, static_cast<std::uint64_t>(from_step) + 1) +
          bytes_field(7, varint_field(1, kStart)));
  }
}

void EventFile::add(std::span<const Scalar> scalars, std::int64_t step, double wall_time) {
  std::string summary;
  for (const auto& [tag, value] : scalars) summary += bytes_field(1, bytes_field(1, tag) + float_field(2, value));
  write(double_field(1, wall_time) + (step == 0 ? "" : varint_field(2, static_cast<std::uint64_t>(step))) + bytes_field(5, summary));
}

void EventFile::write(std::string_view event) {
  const std::string frame = framed(event);
  if (!file_.write(frame.data(), static_cast<std::streamsize>(frame.size())).flush())
    throw Error(ExitCode::kCannotWrite, "cannot write {}: {}", path_.string(), std::strerror(errno));
}

}  // namespace deskhand
