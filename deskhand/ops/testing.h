// What the tests of ops share: random tensors, random quantised blocks, the settings under which every kernel is tried.
#pragma once
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "deskhand/ops/backend.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand::testing {

inline Tensor random_tensor(Shape shape, unsigned seed, float scale = 1) {
  Tensor tensor(DType::kF32, shape);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  for (float& value : tensor.floats()) value = normal(random);
  return tensor;
}

// Where a block of each quantised type holds its 16-bit floats.
inline std::vector<int> half_offsets(DType type) {
  switch (type) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

// Weights of any type; quantised ones are random bytes with sensible scales, so that every bit pattern of a block occurs.
inline Tensor random_weights(DType type, Shape shape, unsigned seed) {
  Tensor tensor(type, shape);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  auto* bytes = reinterpret_cast<std::uint8_t*>(tensor.view().data());
  const std::int64_t blocks = shape.elements() / block_elements(type), size = block_bytes(type);
  for (std::int64_t block = 0; block < blocks; ++block, bytes += size) {
    const float value = normal(random);
    if (type == DType::kF32) {
      std::memcpy(bytes, &value, sizeof value);
    } else if (type == DType::kF16 || type == DType::kBF16) {
      const std::uint16_t bits = type == DType::kF16 ? to_f16(value) : to_bf16(value);
      std::memcpy(bytes, &bits, sizeof bits);
    } else {
      for (std::int64_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(random());
      for (const int offset : half_offsets(type)) {
        const std::uint16_t bits = to_f16(normal(random) * 0.01f);
        std::memcpy(bytes + offset, &bits, sizeof bits);
      }
    }
  }
  return tensor;
}

// A pool, a workspace and the features to use.
struct Machine {
  explicit Machine(int threads, CpuFeatures cpu = CpuFeatures::detect()) : pool(threads) {
    on.pool = &pool;
    on.workspace = &workspace;
    on.cpu = cpu;
  }
  ThreadPool pool;
  Workspace workspace;
  Backend on;
};

// Every set of kernels that this processor can run, from the plainest up.
inline std::vector<CpuFeatures> feature_levels() {
  const CpuFeatures all = CpuFeatures::detect();
  std::vector<CpuFeatures> levels{CpuFeatures{}};
  CpuFeatures next;
  if (all.avx2 && all.fma && all.f16c) {
    next.avx2 = next.fma = next.f16c = true;
    levels.push_back(next);
    if (all.avx512) {
      next.avx512 = true;
      levels.push_back(next);
      if (all.avx512_vnni) {
        next.avx512_vnni = true;
        levels.push_back(next);
      }
      if (all.avx512_bf16) {
        next.avx512_bf16 = true;
        levels.push_back(next);
        if (all.amx_bf16) levels.push_back(all);
      }
    }
  }
  return levels;
}

// The largest difference, as a share of the largest expected value.
inline double worst_difference(std::span<const float> found, std::span<const float> wanted) {
  DESKHAND_ASSERT(found.size() == wanted.size(), "as many values");
  double most = 0, largest = 1e-30;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::abs(static_cast<double>(found[i]) - wanted[i]);
    most = std::isfinite(difference) ? std::max(most, difference) : 1e30;
    largest = std::max(largest, std::abs(static_cast<double>(wanted[i])));
  }
  return most / largest;
}

// sum(a b): the loss whose gradient in a is b.
inline double inner_product(std::span<const float> a, std::span<const float> b) {
  DESKHAND_ASSERT(a.size() == b.size(), "as many values");
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// What `loss` gains a unit of each element of x, by central differences: good to some 1e-3 of the largest where ops write f32.
inline Tensor slopes(Tensor& x, const std::function<double()>& loss, float step = 1e-2f) {
  Tensor slope(DType::kF32, x.shape());
  for (std::size_t i = 0; i < x.floats().size(); ++i) {
    const float value = x.floats()[i], above = value + step, below = value - step;
    x.floats()[i] = above;
    const double more = loss();
    x.floats()[i] = below;
    slope.floats()[i] = static_cast<float>((more - loss()) / (static_cast<double>(above) - below));
    x.floats()[i] = value;
  }
  return slope;
}

}  // namespace deskhand::testing
