// TensorBoard's event files: TFRecord frames (length, its checksum, data, its checksum; CRC-32C, masked) around the protocol buffer
// tensorflow.Event, of which only scalars are written. Layout: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deskhand {

using Scalar = std::pair<std::string, float>;  // tag, value

class EventFile {
 public:
  // Makes FOLDER/events.out.tfevents.<seconds>.deskhand.<number>, a name that is free. from_step above 0: readers forget what earlier files
  // of the folder say of later steps, as a resumed run wants it. Throws Error(kCannotWrite).
  EventFile(const std::filesystem::path& folder, double wall_time, std::int64_t from_step = 0);

  void add(std::span<const Scalar> scalars, std::int64_t step, double wall_time);  // one event; handed to the system before it returns
  const std::filesystem::path& path() const { return path_; }

 private:
  void write(std::string_view event);

  std::filesystem::path path_;
  std::ofstream file_;
};

std::uint32_t crc32c(std::string_view bytes);  // Castagnoli; "123456789" gives 0xe3069283

}  // namespace deskhand
