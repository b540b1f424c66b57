// Safetensors, the format of Hugging Face weights: 8 bytes of header length, a JSON header {name: {dtype, shape, data_offsets}}, then the
// tensors' bytes. Read where they lie in the mapped file; nothing in a header is believed before it is checked.
// Specification: github.com/huggingface/safetensors, README "Format".
#pragma once
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deskhand/base/mapped_file.h"
#include "deskhand/model/stored_tensors.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand {

// One file, or the shards that an index names, as one set of tensors. Views into it live as long as it does.
class Safetensors {
 public:
  // `path`: a .safetensors file, a *.safetensors.index.json, or a folder that holds model.safetensors or its index. Throws Error(kNotFound)
  // or Error(kBadInput) with the file, the tensor and what is wrong with it: a header longer than the file or than 100 MB, offsets out of
  // range or overlapping, bytes that are not shape times dtype, a name twice, a shard that is missing or lacks a tensor.
  static Safetensors open(const std::filesystem::path& path);

  const StoredTensors& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }  // "__metadata__" of the first file
  std::span<const MappedFile> files() const { return files_; }

  // The tensor's bytes in the file. Throws Error(kBadInput) if there is none of that name or its type is no weight type (I64, ...).
  ConstView view(std::string_view name) const;

 private:
  std::vector<MappedFile> files_;
  StoredTensors tensors_;
  std::map<std::string, std::string> metadata_;
};

// Writes the tensors (plain types only) as one file, whole or not at all. They lie ordered by element size, largest first, then by name, so
// that each starts at a multiple of its element; the same input gives the same bytes. Throws Error(kCannotWrite).
void write_safetensors(const std::filesystem::path& path, std::span<const std::pair<std::string, ConstView>> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace deskhand
