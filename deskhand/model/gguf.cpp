#include "deskhand/model/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace deskhand {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in memory");

enum ValueType : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kText, kArray, kU64, kI64, kF64 };

struct TensorType {
  std::uint32_t number;
  std::string_view name;
  std::optional<DType> type;  // none: known by name, not computed with
};

// ggml.h, enum ggml_type.
constexpr std::array<TensorType, 36> kTensorTypes = {{{0, "F32", DType::kF32},
                                                      {1, "F16", DType::kF16},
                                                      {2, "Q4_0", DType::kQ4_0},
                                                      {3, "Q4_1", DType::kQ4_1},
                                                      {6, "Q5_0", DType::kQ5_0},
                                                      {7, "Q5_1", DType::kQ5_1},
                                                      {8, "Q8_0", DType::kQ8_0},
                                                      {9, "Q8_1", {}},
                                                      {10, "Q2_K", {}},
                                                      {11, "Q3_K", {}},
                                                      {12, "Q4_K", DType::kQ4_K},
                                                      {13, "Q5_K", DType::kQ5_K},
                                                      {14, "Q6_K", DType::kQ6_K},
                                                      {15, "Q8_K", {}},
                                                      {16, "IQ2_XXS", {}},
                                                      {17, "IQ2_XS", {}},
                                                      {18, "IQ3_XXS", {}},
                                                      {19, "IQ1_S", {}},
                                                      {20, "IQ4_NL", {}},
                                                      {21, "IQ3_S", {}},
                                                      {22, "IQ2_S", {}},
                                                      {23, "IQ4_XS", {}},
                                                      {24, "I8", DType::kI8},
                                                      {25, "I16", {}},
                                                      {26, "I32", DType::kI32},
                                                      {27, "I64", {}},
                                                      {28, "F64", {}},
                                                      {29, "IQ1_M", {}},
                                                      {30, "BF16", DType::kBF16},
                                                      {34, "TQ1_0", {}},
                                                      {35, "TQ2_0", {}},
                                                      {39, "MXFP4", {}},
                                                      {40, "NVFP4", {}},
                                                      {31, "Q4_0_4_4", {}},
                                                      {32, "Q4_0_4_8", {}},
                                                      {33, "Q4_0_8_8", {}}}};

std::string type_text(std::uint32_t number) {
  const auto at = std::find_if(kTensorTypes.begin(), kTensorTypes.end(), [&](const TensorType& type) { return type.number == number; });
  return at == kTensorTypes.end() ? fmt::format("number {}", number) : std::string(at->name);
}

// Walks the mapped bytes; whatever would go beyond their end is refused before it is read.
class Cursor {
 public:
  explicit Cursor(const MappedFile& file, std::size_t at = 0) : bytes_(file.bytes()), at_(at), where_(file.path().string()) {}

  template <class T>
  T take(std::string_view what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string_view take_text(std::string_view what) {
    const auto length = take<std::uint64_t>(what);
    need(length, what);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + at_), length);
    at_ += length;
    return text;
  }
  // A count of things of at least `least_bytes` each, so that a lie cannot ask for more memory than the file is long.
  std::uint64_t take_count(std::size_t least_bytes, std::string_view what) {
    const auto count = take<std::uint64_t>(what);
    constexpr std::uint64_t kMost = std::uint64_t{1} << 24;  // far beyond any vocabulary
    if (count > left() / least_bytes || count > kMost)
      throw Error(ExitCode::kBadInput, "{}: it claims {} entries of {} at byte {}, more than the file can hold; it is damaged", where_,
                  count, what, at_);
    return count;
  }
  std::size_t at() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }
  const std::string& where() const { return where_; }

 private:
  void need(std::uint64_t bytes, std::string_view what) const {
    if (bytes > left())
      throw Error(ExitCode::kBadInput, "{}: {} at byte {} goes beyond the end of the file ({} bytes); it was cut short, fetch it again",
                  where_, what, at_, bytes_.size());
  }
  std::span<const std::byte> bytes_;
  std::size_t at_;
  std::string where_;
};

std::int64_t take_integer(Cursor& in, std::uint32_t type, std::string_view key) {
  switch (type) {
    case kU8:
      return in.take<std::uint8_t>(key);
    case kI8:
      return in.take<std::int8_t>(key);
    case kU16:
      return in.take<std::uint16_t>(key);
    case kI16:
      return in.take<std::int16_t>(key);
    case kU32:
      return in.take<std::uint32_t>(key);
    case kI32:
      return in.take<std::int32_t>(key);
    case kBool:
      return in.take<std::uint8_t>(key) != 0;
    case kI64:
      return in.take<std::int64_t>(key);
    default:
      break;
  }
  const auto value = in.take<std::uint64_t>(key);
  if (value > static_cast<std::uint64_t>(INT64_MAX))
    throw Error(ExitCode::kBadInput, "{}: \"{}\" is {}, too large", in.where(), key, value);
  return static_cast<std::int64_t>(value);
}

std::size_t value_bytes(std::uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool:
      return 1;
    case kU16:
    case kI16:
      return 2;
    case kU32:
    case kI32:
    case kF32:
      return 4;
    case kText:
    case kU64:
    case kI64:
    case kF64:
      return 8;  // a text is at least its length
    default:
      return 0;
  }
}

Gguf::Value take_array(Cursor& in, std::string_view key) {
  const auto type = in.take<std::uint32_t>(key);
  if (value_bytes(type) == 0)
    throw Error(ExitCode::kBadInput, "{}: \"{}\" is an array of type {}, which is not read", in.where(), key, type);
  const auto count = in.take_count(value_bytes(type), key);
  if (type == kText) {
    Gguf::Texts texts;
    texts.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) texts.push_back(in.take_text(key));
    return texts;
  }
  if (type == kF32 || type == kF64) {
    Gguf::Numbers numbers;
    numbers.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) numbers.push_back(type == kF32 ? double{in.take<float>(key)} : in.take<double>(key));
    return numbers;
  }
  Gguf::Integers integers;
  integers.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) integers.push_back(take_integer(in, type, key));
  return integers;
}

Gguf::Value take_value(Cursor& in, std::string_view key) {
  const auto type = in.take<std::uint32_t>(key);
  switch (type) {
    case kF32:
      return double{in.take<float>(key)};
    case kF64:
      return in.take<double>(key);
    case kBool:
      return in.take<std::uint8_t>(key) != 0;
    case kText:
      return in.take_text(key);
    case kArray:
      return take_array(in, key);
    default:
      if (value_bytes(type) == 0) throw Error(ExitCode::kBadInput, "{}: \"{}\" has the unknown type {}", in.where(), key, type);
      return take_integer(in, type, key);
  }
}

std::uint64_t take_header(Cursor& in) {  // the version is checked, the number of tensors returned
  const auto magic = in.take<std::uint32_t>("the magic number");
  if (magic != 0x46554747u) throw Error(ExitCode::kBadInput, "{} does not begin with \"GGUF\": it is no GGUF file", in.where());
  const auto version = in.take<std::uint32_t>("the version");
  if ((version & 0xffffu) == 0) throw Error(ExitCode::kBadInput, "{} is a big-endian GGUF file; a little-endian one is needed", in.where());
  if (version != 2 && version != 3)
    throw Error(ExitCode::kBadInput, "{} is GGUF version {}; versions 2 and 3 are read, convert it anew", in.where(), version);
  return in.take_count(8 + 4 + 8 + 4 + 8, "tensors");
}

struct PendingTensor {
  StoredTensor tensor;
  std::uint64_t offset, bytes;
};

PendingTensor take_tensor(Cursor& in) {
  PendingTensor pending;
  const std::string name(in.take_text("the name of a tensor"));
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" {}", in.where(), name, what);
  };
  const auto rank = in.take<std::uint32_t>(name);
  if (rank > 4) refuse(fmt::format("has {} dimensions; at most 4 are read", rank));
  std::vector<std::uint64_t> extents(rank);
  for (std::uint32_t axis = rank; axis-- > 0;) extents[axis] = in.take<std::uint64_t>(name);  // the file gives the fastest one first
  const auto number = in.take<std::uint32_t>(name);
  const auto type =
      std::find_if(kTensorTypes.begin(), kTensorTypes.end(), [&](const TensorType& known) { return known.number == number && known.type; });
  if (type == kTensorTypes.end())
    refuse(fmt::format("is of type {}; read are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K", type_text(number)));
  const auto bytes = stored_bytes(extents, block_elements(*type->type), block_bytes(*type->type));
  if (!bytes) refuse(fmt::format("has the shape ({}), which {} cannot hold", fmt::join(extents, ", "), type->name));
  pending.offset = in.take<std::uint64_t>(name);
  pending.bytes = *bytes;
  pending.tensor = {.name = name, .stored_type = std::string(type->name), .type = type->type, .shape = shape_of(extents), .data = {}};
  return pending;
}

std::vector<StoredTensor> place_tensors(std::vector<PendingTensor>&& pending, const MappedFile& file, std::size_t header_end,
                                        std::uint64_t alignment) {
  const std::string where = file.path().string();
  const auto bytes = file.bytes();
  const std::size_t start = (header_end + alignment - 1) / alignment * alignment;
  if (start > bytes.size() && !pending.empty())
    throw Error(ExitCode::kBadInput, "{} ends before its tensors begin; it was cut short, fetch it again", where);
  std::sort(pending.begin(), pending.end(), [](const PendingTensor& a, const PendingTensor& b) { return a.offset < b.offset; });
  std::vector<StoredTensor> tensors;
  tensors.reserve(pending.size());
  std::uint64_t free_from = 0;
  for (PendingTensor& next : pending) {
    const auto refuse = [&](const std::string& what) {
      throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" {}; the file is damaged, fetch it again", where, next.tensor.name, what);
    };
    if (next.offset % alignment != 0) refuse(fmt::format("starts at {}, not at a multiple of {}", next.offset, alignment));
    if (next.offset > bytes.size() - start || next.bytes > bytes.size() - start - next.offset)
      refuse(fmt::format("needs {} bytes at {}, the file has {} bytes of tensors", next.bytes, next.offset, bytes.size() - start));
    if (next.offset < free_from) refuse("overlaps another");
    free_from = next.offset + next.bytes;
    next.tensor.data = bytes.subspan(start + next.offset, next.bytes);
    tensors.push_back(std::move(next.tensor));
  }
  return tensors;
}

}  // namespace

Gguf Gguf::open(const std::filesystem::path& path) {
  Gguf gguf(path);
  const std::string where = path.string();
  Cursor in(gguf.file_);
  const auto tensor_count = take_header(in);
  const auto value_count = in.take_count(8 + 4 + 1, "metadata");
  gguf.metadata_.reserve(value_count);
  for (std::uint64_t i = 0; i < value_count; ++i) {
    const auto key = in.take_text("a metadata key");
    gguf.metadata_.emplace_back(key, take_value(in, key));
  }
  std::sort(gguf.metadata_.begin(), gguf.metadata_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto twin =
      std::adjacent_find(gguf.metadata_.begin(), gguf.metadata_.end(), [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twin != gguf.metadata_.end()) throw Error(ExitCode::kBadInput, "{}: the metadata key \"{}\" stands there twice", where, twin->first);
  if (gguf.integer("split.count").value_or(1) > 1)
    throw Error(ExitCode::kBadInput, "{} is one of {} parts; join them first (llama-gguf-split --merge)", where,
                *gguf.integer("split.count"));
  const auto alignment = gguf.integer("general.alignment").value_or(32);
  if (alignment < 8 || alignment > (1 << 20) || !std::has_single_bit(static_cast<std::uint64_t>(alignment)))
    throw Error(ExitCode::kBadInput, "{}: general.alignment is {}; a power of two from 8 to 1048576 was expected", where, alignment);

  std::vector<PendingTensor> pending;
  pending.reserve(tensor_count);
  for (std::uint64_t i = 0; i < tensor_count; ++i) pending.push_back(take_tensor(in));
  gguf.tensors_ = StoredTensors(place_tensors(std::move(pending), gguf.file_, in.at(), static_cast<std::uint64_t>(alignment)), where);
  return gguf;
}

const Gguf::Value* Gguf::find(std::string_view key) const {
  const auto at =
      std::lower_bound(metadata_.begin(), metadata_.end(), key, [](const auto& pair, std::string_view k) { return pair.first < k; });
  return at != metadata_.end() && at->first == key ? &at->second : nullptr;
}

std::string_view Gguf::raw(std::string_view key) const {
  const auto at =
      std::lower_bound(metadata_.begin(), metadata_.end(), key, [](const auto& pair, std::string_view k) { return pair.first < k; });
  if (at == metadata_.end() || at->first != key) return {};
  const char* begin = at->first.data() + at->first.size();  // a value stands behind its key
  Cursor in(file_, static_cast<std::size_t>(begin - reinterpret_cast<const char*>(file_.bytes().data())));
  const std::size_t from = in.at();
  take_value(in, key);
  return {begin, in.at() - from};
}

template <class T>
const T* Gguf::get(std::string_view key, std::string_view wanted) const {
  const Value* value = find(key);
  if (!value) return nullptr;
  if (const T* typed = std::get_if<T>(value)) return typed;
  throw Error(ExitCode::kBadInput, "{}: \"{}\" is not {}", file_.path().string(), key, wanted);
}

std::optional<std::int64_t> Gguf::integer(std::string_view key) const {
  const auto* value = get<std::int64_t>(key, "a whole number");
  return value ? std::optional(*value) : std::nullopt;
}

std::optional<double> Gguf::number(std::string_view key) const {
  if (const Value* value = find(key))
    if (const auto* whole = std::get_if<std::int64_t>(value)) return static_cast<double>(*whole);
  const auto* value = get<double>(key, "a number");
  return value ? std::optional(*value) : std::nullopt;
}

std::optional<bool> Gguf::flag(std::string_view key) const {
  const auto* value = get<bool>(key, "true or false");
  return value ? std::optional(*value) : std::nullopt;
}

std::optional<std::string_view> Gguf::text(std::string_view key) const {
  const auto* value = get<std::string_view>(key, "a text");
  return value ? std::optional(*value) : std::nullopt;
}

std::span<const std::string_view> Gguf::texts(std::string_view key) const {
  const auto* value = get<Texts>(key, "an array of texts");
  return value ? std::span<const std::string_view>(*value) : std::span<const std::string_view>{};
}

std::span<const std::int64_t> Gguf::integers(std::string_view key) const {
  const auto* value = get<Integers>(key, "an array of whole numbers");
  return value ? std::span<const std::int64_t>(*value) : std::span<const std::int64_t>{};
}

std::span<const double> Gguf::numbers(std::string_view key) const {
  const auto* value = get<Numbers>(key, "an array of numbers");
  return value ? std::span<const double>(*value) : std::span<const double>{};
}

}  // namespace deskhand
