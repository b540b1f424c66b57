// What a run trains: values where they lie (an adapter's tensors, on the host or all of them on the GPU), gradients and moments beside them
// in flat buffers of one order, so that clipping, all-reduce and the optimizer are loops over one array.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "deskhand/ops/optimizer.h"
#include "deskhand/tensor/tensor.h"
#include "deskhand/train/adapter.h"

namespace deskhand {

class Parameters {
 public:
  struct Entry {
    std::string name;                   // peft's, without "base_model.model.": "model.layers.0.self_attn.q_proj.lora_A.weight"
    View value;                         // f32, borrowed
    bool decays = true;                 // weight decay; never norms and biases
    double rate_factor = 1;             // of the learning rate
    std::int64_t offset = 0, size = 0;  // in the flat buffers; set here
    View rounded{};                     // keep_rounded's
  };

  explicit Parameters(std::vector<Entry> entries);
  // All of an adapter, pairs first, by name. Rate factors: plus_ratio of every B, head_ratio of what is no pair. Borrows the adapter's
  // tensors.
  static std::vector<Entry> entries_of(Adapter& adapter, double plus_ratio = 1, double head_ratio = 1);
  static Parameters of(Adapter& adapter, double plus_ratio = 1, double head_ratio = 1) {
    return Parameters(entries_of(adapter, plus_ratio, head_ratio));
  }

  std::span<const Entry> entries() const { return entries_; }
  std::int64_t size() const { return size_; }
  View gradients() { return gradients_; }
  // An entry's part of the flat buffers, with the value's shape.
  View gradient(const Entry& entry) { return part(gradients_, entry); }
  View first_moment(const Entry& entry) { return part(first_, entry); }
  View second_moment(const Entry& entry) { return part(second_, entry); }
  const Entry& entry(std::string_view name) const;  // asserted to be there
  // All of them, but for what is part of `kept`, an entry's gradient, which the first pass of a step overwrites; it may be empty.
  void clear_gradients(const Backend& on, ConstView kept = {});
  // A trained matrix that products of bf16 read gets a copy that is rounded once a step, by the optimizer: `weight` becomes the copy's
  // view. Does nothing to weights that are not trained.
  void keep_rounded(const Backend& on, ConstView& weight);
  // What adamw is given.
  std::vector<AdamWPart> parts();

  // For checkpoints: values by name, "first_moments", "second_moments". What lies on the GPU is copied into `copies`, which the views
  // borrow then. load throws Error(kBadInput) for one that is missing or of another shape.
  std::vector<std::pair<std::string, ConstView>> tensors(std::vector<Tensor>& copies) const;
  void load(const std::map<std::string, Tensor>& tensors, std::string_view where);
  static void load_values(std::span<const Entry> entries, const std::map<std::string, Tensor>& tensors, std::string_view where);

 private:
  View part(Tensor& flat, const Entry& entry) const;

  std::vector<Entry> entries_;
  std::int64_t size_ = 0;
  Tensor gradients_, first_, second_;  // (size)
  std::vector<Tensor> rounded_;
};

}  // namespace deskhand
