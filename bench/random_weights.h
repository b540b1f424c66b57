// Random weights of any type on the GPU, where speed is measured.
#pragma once
#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "deskhand/tensor/tensor.h"

namespace deskhand {

// One piece of random blocks of a type, copied wherever weights are wanted: speed does not ask for more.
class RandomWeights {
 public:
  explicit RandomWeights(DType type) : type_(type), piece_(type, {kPiece}) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.02f);
    if (!is_quantised(type)) {
      for (std::uint16_t& value : piece_.view().as<std::uint16_t>())
        value = type == DType::kBF16 ? to_bf16(normal(random)) : to_f16(normal(random));
    } else {
      const auto bytes = piece_.view().raw();
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
      // Scales and minima at the places that blocks have them, small enough for activations to stay numbers.
      const std::size_t scale = type == DType::kQ6_K ? 208 : 0;
      const bool minimum = type == DType::kQ4_1 || type == DType::kQ5_1 || type == DType::kQ4_K || type == DType::kQ5_K;
      const std::uint16_t small = to_f16(type == DType::kQ8_0 ? 3e-4f : is_k(type) ? 1e-4f : 4e-3f);
      for (std::size_t at = 0; at < bytes.size(); at += static_cast<std::size_t>(block_bytes(type))) {
        std::memcpy(bytes.data() + at + scale, &small, sizeof small);
        if (minimum) std::memcpy(bytes.data() + at + 2, &small, sizeof small);
      }
    }
    piece_ = piece_.copy_to(Device::kCuda);
  }

  ConstView matrix(std::int64_t rows, std::int64_t columns) {
    Tensor& made = owned.emplace_back(type_, Shape{rows, columns}, Device::kCuda);
    const View flat = made.view().reshaped({rows * columns});
    for (std::int64_t first = 0; first < rows * columns; first += kPiece) {
      const std::int64_t count = std::min(kPiece, rows * columns - first);
      const std::int64_t bytes = row_bytes(type_, count), begin = row_bytes(type_, first);
      copy_bytes(View(flat.data() + begin, DType::kI8, {bytes}, Device::kCuda),
                 View(piece_.view().data(), DType::kI8, {bytes}, Device::kCuda));
    }
    return made.view();
  }
  ConstView vector(std::int64_t width, float value) {
    Tensor same(DType::kF32, {width});
    std::fill(same.floats().begin(), same.floats().end(), value);
    return owned.emplace_back(same.copy_to(Device::kCuda)).view();
  }

  std::vector<Tensor> owned;

 private:
  static bool is_k(DType type) { return type == DType::kQ4_K || type == DType::kQ5_K || type == DType::kQ6_K; }
  static constexpr std::int64_t kPiece = (8ll << 20) + 256 * 1031;  // so that no two layers are alike
  DType type_;
  Tensor piece_;
};

}  // namespace deskhand
