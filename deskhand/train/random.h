// xoshiro256** (Blackman and Vigna, 2018), seeded by SplitMix64: the same numbers on every machine, and a state that a checkpoint can keep.
#pragma once
#include <array>
#include <cstdint>

namespace deskhand {

class Random {
 public:
  using State = std::array<std::uint64_t, 4>;

  explicit Random(std::uint64_t seed, std::uint64_t stream = 0);  // streams of one seed are independent
  explicit Random(const State& state) : state_(state) {}

  std::uint64_t bits();
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1.0p-53; }  // [0, 1)
  double normal();                                                            // mean 0, variance 1: Box and Muller, 1958
  std::uint64_t below(std::uint64_t count);                                   // 0 .. count - 1, each as likely as the other; count above 0
  const State& state() const { return state_; }

 private:
  State state_;
};

}  // namespace deskhand
