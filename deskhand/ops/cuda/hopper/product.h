// Products of bf16 that end in more than a product, on Hopper's tensor cores. Sources of this folder's parent alone.
#pragma once
#include <cstdint>
#include <span>

#include "deskhand/ops/backend.h"

namespace deskhand::cuda {

// a (rows, depth) and b, in bf16. Steps in elements, between memory's rows.
struct HopperFactors {
  std::int64_t depth = 0;
  const void* a = nullptr;
  std::int64_t a_step = 0;
  const void* b = nullptr;
  std::int64_t b_step = 0;
};

// Of f32 sums, (rows, columns) in bf16:
//   kSum: c = the sum of up to kMost products, b (depth, columns) each;
//   kGated: c = silu(gate) up of gate and up, which are the products of one a with two b (columns, depth), and are written too;
//   kGateGradients: that sum is what is owed to silu(gate) up, and gate and up, which are read, become their own gradients. No c.
struct HopperProduct {
  enum class End : std::uint8_t { kSum, kGated, kGateGradients };
  static constexpr std::size_t kMost = 3;
  std::int64_t rows = 0, columns = 0;
  std::span<const HopperFactors> factors;
  void* c = nullptr;
  std::int64_t c_step = 0;  // of gate and up too
  End end = End::kSum;
  void *gate = nullptr, *up = nullptr;
};

// A card of compute capability 9.0, columns in multiples of 64, depths and steps of 8, addresses of 16.
bool has_hopper_product(const Backend& on, const HopperProduct& product);
// Whether it is faster than its parts: deep, and tiles enough for the whole card most of the time.
bool is_hopper_product(const Backend& on, const HopperProduct& product);
void multiply_hopper(const Backend& on, const HopperProduct& product);

}  // namespace deskhand::cuda
