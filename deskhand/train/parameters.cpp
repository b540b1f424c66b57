#include "deskhand/train/parameters.h"

#include <algorithm>
#include <cstring>

#include "deskhand/base/error.h"
#include "deskhand/ops/copy.h"
#include "deskhand/ops/dequantize.h"

namespace deskhand {
namespace {

constexpr const char *kFirst = "first_moments", *kSecond = "second_moments";

void copy_into(View out, const std::string& name, const std::map<std::string, Tensor>& tensors, std::string_view where) {
  const auto at = tensors.find(name);
  if (at == tensors.end()) throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" is missing; the run was of other settings", where, name);
  const Tensor& in = at->second;
  if (in.type() != DType::kF32 || in.shape() != out.shape())
    throw Error(ExitCode::kBadInput, "{}: the tensor \"{}\" is {} {}, this run's is f32 {}", where, name, dtype_name(in.type()),
                in.shape().text(), out.shape().text());
  copy_bytes(out, in);
}

}  // namespace

Parameters::Parameters(std::vector<Entry> entries) : entries_(std::move(entries)) {
  for (Entry& entry : entries_) {
    entry.offset = size_;
    entry.size = entry.value.shape().elements();
    size_ += entry.size;
  }
  DESKHAND_ASSERT(size_ > 0, "something to train");
  const Device device = entries_.front().value.device();
  for (Tensor* flat : {&gradients_, &first_, &second_}) *flat = Tensor(DType::kF32, {size_}, device);
}

std::vector<Parameters::Entry> Parameters::entries_of(Adapter& adapter, double plus_ratio, double head_ratio) {
  std::vector<Entry> entries;
  for (auto& [name, pair] : adapter.lora) {
    entries.push_back({.name = name + ".lora_A.weight", .value = pair.a.view()});
    entries.push_back({.name = name + ".lora_B.weight", .value = pair.b.view(), .rate_factor = plus_ratio});
  }
  for (auto& [name, tensor] : adapter.replaced)
    entries.push_back({.name = name, .value = tensor.view(), .decays = tensor.shape().rank() > 1, .rate_factor = head_ratio});
  return entries;
}

View Parameters::part(Tensor& flat, const Entry& entry) const {
  return flat.view().rows(entry.offset, entry.size).reshaped(entry.value.shape());
}

const Parameters::Entry& Parameters::entry(std::string_view name) const {
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& one) { return one.name == name; });
  DESKHAND_ASSERT(at != entries_.end(), "a parameter of that name is trained");
  return *at;
}

void Parameters::clear_gradients(const Backend& on, ConstView kept) {
  const View all = gradients_;
  const std::int64_t begin = kept.empty() ? size_ : (kept.data() - all.data()) / static_cast<std::int64_t>(sizeof(float));
  const std::int64_t end = kept.empty() ? size_ : begin + kept.shape().elements();
  DESKHAND_ASSERT(begin >= 0 && end <= size_, "a part of the gradients");
  clear(on, all.rows(0, begin));
  clear(on, all.rows(end, size_ - end));
}

void Parameters::keep_rounded(const Backend& on, ConstView& weight) {
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& one) { return one.value.data() == weight.data(); });
  if (at == entries_.end()) return;
  at->rounded = rounded_.emplace_back(DType::kBF16, at->value.shape(), at->value.device()).view();
  dequantize(on, at->rounded, at->value);
  weight = at->rounded;
}

std::vector<AdamWPart> Parameters::parts() {
  std::vector<AdamWPart> parts;
  for (const Entry& entry : entries_)
    parts.push_back({.weights = entry.value,
                     .state = {first_moment(entry), second_moment(entry)},
                     .gradient = gradient(entry),
                     .rate_factor = entry.rate_factor,
                     .decays = entry.decays,
                     .rounded = entry.rounded});
  return parts;
}

std::vector<std::pair<std::string, ConstView>> Parameters::tensors(std::vector<Tensor>& copies) const {
  std::vector<std::pair<std::string, ConstView>> all;
  for (const Entry& entry : entries_) all.emplace_back(entry.name, entry.value);
  all.emplace_back(kFirst, first_.view());
  all.emplace_back(kSecond, second_.view());
  copies.reserve(all.size());
  for (auto& [name, view] : all) {
    if (view.device() == Device::kCpu) continue;
    Tensor& copy = copies.emplace_back(view.type(), view.shape());
    copy_bytes(copy, view);
    view = copy.view();
  }
  return all;
}

void Parameters::load(const std::map<std::string, Tensor>& tensors, std::string_view where) {
  load_values(entries_, tensors, where);
  copy_into(first_, kFirst, tensors, where);
  copy_into(second_, kSecond, tensors, where);
}

void Parameters::load_values(std::span<const Entry> entries, const std::map<std::string, Tensor>& tensors, std::string_view where) {
  for (const Entry& entry : entries) copy_into(entry.value, entry.name, tensors, where);
}

}  // namespace deskhand
