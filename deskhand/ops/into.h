// What a backward op does with the values that a gradient of activations already holds. Gradients of parameters are always added to.
#pragma once
#include <cstdint>

namespace deskhand {

enum class Into : std::uint8_t { kOverwrite, kAdd };

}  // namespace deskhand
