#include "deskhand/train/random.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

std::uint64_t split_mix(std::uint64_t& state) {
  std::uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Random::Random(std::uint64_t seed, std::uint64_t stream) {
  std::uint64_t mixed = stream;
  mixed = seed ^ split_mix(mixed);
  for (auto& word : state_) word = split_mix(mixed);
}

std::uint64_t Random::bits() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9, moved = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= moved;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Random::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));  // 1 - uniform() is never 0
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

std::uint64_t Random::below(std::uint64_t count) {
  DESKHAND_ASSERT(count > 0, "something to choose from");
  const std::uint64_t unfair = -count % count;  // so many of 2^64 would make small numbers likelier
  for (;;)
    if (const std::uint64_t drawn = bits(); drawn >= unfair) return drawn % count;
}

}  // namespace deskhand
