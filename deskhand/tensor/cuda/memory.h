// Memory of the GPU behind a Tensor: plain allocations, made once for what lives long. Ops' scratch: context.h.
#pragma once
#include <cstddef>
#include <string_view>

namespace deskhand {

// Zeroed, 256-byte aligned, on the GPU that is current; in whole 16 bytes, since kernels read blocks of odd sizes so, the last of a tensor
// past its end. Throws Error(kTooLarge) with sizes and what to change if it cannot be had, and Error(kUsage) in a build without CUDA.
// `what` is named in the sentence: "f32 (8192, 4096)".
std::byte* allocate_on_gpu(std::size_t bytes, std::string_view what);
void free_on_gpu(std::byte* data) noexcept;                                      // waits for the work that may use it
void copy_through_gpu(std::byte* to, const std::byte* from, std::size_t bytes);  // at least one lies there; waits before and after

}  // namespace deskhand
