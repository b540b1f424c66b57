#include "deskhand/model/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "deskhand/base/atomic_file.h"
#include "deskhand/base/json.h"

namespace deskhand {
namespace {

constexpr std::size_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own library
constexpr std::size_t kMaxIndexBytes = 64'000'000;

struct StoredType {
  std::string_view name;
  std::int64_t bytes;
  std::optional<DType> type;
};

constexpr std::array<StoredType, 14> kTypes = {{{"F32", 4, DType::kF32},
                                                {"F16", 2, DType::kF16},
                                                {"BF16", 2, DType::kBF16},
                                                {"I32", 4, DType::kI32},
                                                {"I8", 1, DType::kI8},
                                                {"F64", 8, {}},
                                                {"I64", 8, {}},
                                                {"I16", 2, {}},
                                                {"U64", 8, {}},
                                                {"U32", 4, {}},
                                                {"U16", 2, {}},
                                                {"U8", 1, {}},
                                                {"BOOL", 1, {}},
                                                {"F8_E4M3", 1, {}}}};

const StoredType* find_type(std::string_view name) {
  const auto at = std::find_if(kTypes.begin(), kTypes.end(), [&](const StoredType& type) { return type.name == name; });
  return at == kTypes.end() ? nullptr : &*at;
}

// One entry of the header as it stands there, before any check.
struct Entry {
  std::string name, dtype;
  std::vector<std::uint64_t> extents, offsets;
  bool has_shape = false;  // an empty list is a scalar's shape
};

// Reads exactly the shape that the format has and nothing else, event by event: no tree is built, so neither depth nor size of a hostile
// header costs more than its own bytes.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  std::string fault;  // set when a handler returns false

  bool start_object(std::size_t) override {
    if (place_ == Place::kStart) return go(Place::kTop);
    if (place_ == Place::kTop && key_ == "__metadata__") return go(Place::kMetadata);
    if (place_ == Place::kTop) {
      entries.push_back({.name = key_});
      return go(Place::kTensor);
    }
    return refuse("an object where none belongs");
  }
  bool end_object() override { return go(place_ == Place::kTop ? Place::kEnd : Place::kTop); }
  bool key(string_t& name) override {
    key_ = name;
    return true;
  }
  bool string(string_t& text) override {
    if (place_ == Place::kMetadata) {
      metadata[key_] = text;
      return true;
    }
    if (place_ != Place::kTensor || key_ != "dtype") return refuse("a text where none belongs");
    entries.back().dtype = text;
    return true;
  }
  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && key_ == "shape") {
      entries.back().has_shape = true;
      return go(Place::kShape);
    }
    if (place_ == Place::kTensor && key_ == "data_offsets") return go(Place::kOffsets);
    return refuse("a list where none belongs");
  }
  bool end_array() override { return go(Place::kTensor); }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kShape && place_ != Place::kOffsets) return refuse("a number where none belongs");
    auto& list = place_ == Place::kShape ? entries.back().extents : entries.back().offsets;
    if (list.size() == 8) return refuse("a list of more than 8 numbers");
    list.push_back(value);
    return true;
  }
  bool number_integer(number_integer_t) override { return refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return refuse("a number with a fraction"); }
  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("true or false"); }
  bool binary(binary_t&) override { return refuse("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fault = fmt::format("not JSON at byte {}", position);
    return false;
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kEnd };
  bool go(Place place) {
    place_ = place;
    return true;
  }
  bool refuse(std::string_view what) {
    fault = entries.empty() ? fmt::format("{}, under \"{}\"", what, key_)
                            : fmt::format("{}, under \"{}\" of \"{}\"", what, key_, entries.back().name);
    return false;
  }

  Place place_ = Place::kStart;
  std::string key_;
};

StoredTensor check_entry(Entry&& entry, std::span<const std::byte> data, const std::string& where) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" {}", where, entry.name, what);
  };
  const StoredType* type = find_type(entry.dtype);
  if (!type) refuse(entry.dtype.empty() ? "has no dtype" : fmt::format("has the dtype {}, which is not known", entry.dtype));
  if (!entry.has_shape) refuse("has no shape");
  if (entry.extents.size() > 4) refuse(fmt::format("has {} dimensions; at most 4 are read", entry.extents.size()));
  if (entry.offsets.size() != 2) refuse("has no pair of data_offsets");
  const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1];
  if (begin > end || end > data.size())
    refuse(fmt::format("lies at bytes {} to {}, the file has {} bytes of data", begin, end, data.size()));
  const auto bytes = stored_bytes(entry.extents, 1, type->bytes);
  if (!bytes || *bytes != end - begin)
    refuse(fmt::format("has {} bytes, but its shape ({}) of {} asks for {}", end - begin, fmt::join(entry.extents, ", "), entry.dtype,
                       bytes ? std::to_string(*bytes) : "more than any file has"));
  return {.name = std::move(entry.name),
          .stored_type = std::string(type->name),
          .type = type->type,
          .shape = shape_of(entry.extents),
          .data = data.subspan(begin, *bytes)};
}

void refuse_overlap(std::span<const StoredTensor> tensors, const std::string& where) {
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& tensor : tensors)
    if (!tensor.data.empty()) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) { return a->data.data() < b->data.data(); });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->data.data() + order[i - 1]->data.size() > order[i]->data.data())
      throw Error(ExitCode::kBadInput, "{}: the tensors \"{}\" and \"{}\" overlap; the file is damaged, fetch it again", where,
                  order[i - 1]->name, order[i]->name);
}

std::vector<StoredTensor> read_header(const MappedFile& file, std::map<std::string, std::string>& metadata) {
  const std::string where = file.path().string();
  const auto bytes = file.bytes();
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length)
    throw Error(ExitCode::kBadInput, "{} has {} bytes: too short for a safetensors file; fetch it again", where, bytes.size());
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxHeaderBytes)
    throw Error(ExitCode::kBadInput, "{}: its header claims {} bytes, more than the {} allowed: not a safetensors file, or a damaged one",
                where, length, kMaxHeaderBytes);
  if (length > bytes.size() - sizeof length)
    throw Error(ExitCode::kBadInput, "{}: its header claims {} bytes, the file has {}; it was cut short, fetch it again", where, length,
                bytes.size());
  const auto* text = reinterpret_cast<const char*>(bytes.data() + sizeof length);
  HeaderReader header;
  if (!Json::sax_parse(text, text + length, &header)) throw Error(ExitCode::kBadInput, "{}: its header holds {}", where, header.fault);
  std::vector<StoredTensor> tensors;
  tensors.reserve(header.entries.size());
  for (Entry& entry : header.entries) tensors.push_back(check_entry(std::move(entry), bytes.subspan(sizeof length + length), where));
  refuse_overlap(tensors, where);
  metadata.merge(header.metadata);
  return tensors;
}

// File of each tensor, from model.safetensors.index.json.
std::map<std::string, std::string> read_index(const std::filesystem::path& path) {
  const std::string text = read_text_file(path, kMaxIndexBytes);
  const auto index = nlohmann::json::parse(text, nullptr, false);  // the sorted kind: a hostile index of many keys stays fast
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object())
    throw Error(ExitCode::kBadInput, "{} is not an index of safetensors: an object with \"weight_map\" was expected", path.string());
  std::map<std::string, std::string> files;
  for (const auto& [name, file] : map->items()) {
    const std::string plain = file.is_string() ? file.get<std::string>() : "";
    if (plain.empty() || plain == "." || plain == ".." || plain.find_first_of("/\\") != std::string::npos)
      throw Error(ExitCode::kBadInput, "{}: \"{}\" lies in {}; a file name in the same folder was expected", path.string(), name,
                  file.dump());
    files.emplace(name, plain);
  }
  return files;
}

std::filesystem::path file_in(const std::filesystem::path& folder) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"})
    if (std::filesystem::exists(folder / name)) return folder / name;
  throw Error(ExitCode::kNotFound, "{} holds neither model.safetensors nor model.safetensors.index.json", folder.string());
}

}  // namespace

Safetensors Safetensors::open(const std::filesystem::path& given) {
  const auto path = std::filesystem::is_directory(given) ? file_in(given) : given;
  Safetensors set;
  if (path.extension() != ".json") {
    set.files_.emplace_back(path);
    set.tensors_ = StoredTensors(read_header(set.files_.back(), set.metadata_), path.string());
    return set;
  }
  const auto files = read_index(path);
  std::set<std::string> shards;
  for (const auto& [name, file] : files) shards.insert(file);
  std::vector<StoredTensor> tensors;
  for (const std::string& shard : shards) {
    set.files_.emplace_back(path.parent_path() / shard);
    for (StoredTensor& tensor : read_header(set.files_.back(), set.metadata_)) {
      const auto listed = files.find(tensor.name);
      if (listed == files.end() || listed->second != shard)
        throw Error(ExitCode::kBadInput, "{}: \"{}\" lies in {}, which the index does not say", path.string(), tensor.name, shard);
      tensors.push_back(std::move(tensor));
    }
  }
  set.tensors_ = StoredTensors(std::move(tensors), path.string());
  for (const auto& [name, file] : files)
    if (!set.tensors_.find(name))
      throw Error(ExitCode::kBadInput, "{}: \"{}\" should lie in {} and does not; fetch that file again", path.string(), name, file);
  return set;
}

ConstView Safetensors::view(std::string_view name) const {
  const std::string where = files_.empty() ? "safetensors" : files_.front().path().string();
  const StoredTensor* tensor = tensors_.find(name);
  if (!tensor) throw Error(ExitCode::kBadInput, "{}: there is no tensor \"{}\"", where, name);
  if (!tensor->type)
    throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" is {}; a weight is F32, F16 or BF16", where, name, tensor->stored_type);
  return {tensor->data.data(), *tensor->type, tensor->shape};
}

void write_safetensors(const std::filesystem::path& path, std::span<const std::pair<std::string, ConstView>> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const std::pair<std::string, ConstView>*> order;
  for (const auto& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    const auto size_a = block_bytes(a->second.type()), size_b = block_bytes(b->second.type());
    return size_a != size_b ? size_a > size_b : a->first < b->first;
  });
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const auto* tensor : order) {
    const auto& [name, view] = *tensor;
    const auto type = std::find_if(kTypes.begin(), kTypes.end(), [&](const StoredType& known) { return known.type == view.type(); });
    DESKHAND_ASSERT(type != kTypes.end(), "safetensors holds plain types, not quantised ones");
    DESKHAND_ASSERT(!header.contains(name), "each tensor has a name of its own");
    Json shape = Json::array();
    for (int axis = 0; axis < view.shape().rank(); ++axis) shape.push_back(view.shape()[axis]);
    const auto bytes = static_cast<std::uint64_t>(view.bytes());
    header[name] = {{"dtype", type->name}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = write_json(header);
  text.append((8 - text.size() % 8) % 8, ' ');  // the data start at a multiple of 8
  const std::uint64_t length = text.size();
  AtomicFile file(path);
  file.write({reinterpret_cast<const char*>(&length), sizeof length});
  file.write(text);
  for (const auto* tensor : order) {
    const auto raw = tensor->second.raw();
    file.write({reinterpret_cast<const char*>(raw.data()), raw.size()});
  }
  file.commit();
}

}  // namespace deskhand
