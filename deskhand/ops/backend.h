// Where and how ops run: handed to every op, chosen once in app. Everything an op needs besides its tensors is here; there are no globals.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/parallel.h"
#include "deskhand/tensor/notation.h"
#include "deskhand/tensor/view.h"

namespace deskhand {

class CudaContext;  // tensor/cuda/context.h

#ifdef DESKHAND_CUDA
inline constexpr bool kCudaBuilt = true;
#else
inline constexpr bool kCudaBuilt = false;  // no op names a CUDA kernel
#endif

// What this processor has, found once at start; the names are those of /proc/cpuinfo.
struct CpuFeatures {
  bool avx2 = false, fma = false, f16c = false, avx512 = false /* f, bw, dq, vl */, avx512_vnni = false, avx512_bf16 = false,
       avx_vnni = false, amx_int8 = false, amx_bf16 = false;
  static CpuFeatures detect();
  std::string text() const;  // "avx2 fma f16c avx512 avx512_vnni"
};

// How products with frozen weights are computed on the CPU. On CUDA weights of f32 are multiplied in f32, without TF32, unless kBF16 is
// asked for; others in bf16 unless kF32 is.
enum class Compute : std::uint8_t {
  kAuto,  // 8-bit activations for quantised weights; kBF16 for up to 40 tokens with bf16 weights if there is avx512_bf16; else f32
  kF32,   // weights widened to f32
  kBF16,  // weights and inputs rounded to bf16, sums in f32
  kInt8   // inputs quantised to 8 bits a block of 32, sums exact in int32 inside a block, f32 across blocks
};

// Scratch that ops reuse from call to call; grows to the largest need, then stays. One for each thread of callers.
class Workspace {
 public:
  // At least `bytes`, 64-byte aligned, contents undefined. Slots are told apart so that an op may hold several at once.
  std::span<std::byte> get(int slot, std::size_t bytes);
  template <class T>
  T* get(int slot, std::int64_t count) {
    return reinterpret_cast<T*>(get(slot, static_cast<std::size_t>(count) * sizeof(T)).data());
  }

 private:
  static constexpr std::size_t kAlign = 64;
  struct Slot {
    std::vector<std::byte> memory;
  };
  std::vector<Slot> slots_;
};

struct Backend {
  enum class Kind : std::uint8_t { kReference, kCpu, kCuda };
  Kind kind = Kind::kCpu;
  ThreadPool* pool = nullptr;      // not owned
  Workspace* workspace = nullptr;  // not owned
  CpuFeatures cpu;                 // lower it to test the plainer kernels
  Compute compute = Compute::kAuto;
  CudaContext* cuda = nullptr;  // not owned; the GPU of kCuda, where all tensors that an op is given then are
};

// What activations and their gradients may be held in: f32, on CUDA bf16 too; all those of one op in one type.
inline bool is_activation(const Backend& on, DType type) {
  return type == DType::kF32 || (type == DType::kBF16 && on.kind == Backend::Kind::kCuda);
}

// The same for tensors of the host: what is prepared for the GPU, or comes from it.
inline Backend on_host(Backend on) {
  if (on.kind == Backend::Kind::kCuda) on.kind = Backend::Kind::kCpu;
  return on;
}

inline Device device_of(const Backend& on) {
  return on.kind == Backend::Kind::kCuda ? Device::kCuda : Device::kCpu;
}

// Scratch of the backend's device in a slot above those of the ops: 14 and on.
View scratch(const Backend& on, int slot, DType type, const Shape& shape);

void require_cpu(const Backend& on);  // asserts that the CPU's kernels can run and are wanted

}  // namespace deskhand
