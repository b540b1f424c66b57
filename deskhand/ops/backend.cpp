#include "deskhand/ops/backend.h"

#include "deskhand/tensor/cuda/context.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace deskhand {
namespace {

#if defined(__x86_64__)
// XCR0: which register files the operating system saves. A CPU flag without its bit here must not be used.
std::uint64_t saved_registers() {
  std::uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
}

// Linux keeps tiles from a process until it asks: 8 KiB more are then saved of each of its threads. Asked once; the answer does not change.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA of asm/prctl.h
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}
#endif

}  // namespace

// Bits: Intel SDM, volume 2A, CPUID, leaves 1 and 7.
CpuFeatures CpuFeatures::detect() {
  CpuFeatures found;
#if defined(__x86_64__)
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return found;  // no OSXSAVE
  const std::uint64_t saved = saved_registers();
  const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6;
  const bool fma = c >> 12 & 1, f16c = c >> 29 & 1;
  if (!ymm || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  const std::uint32_t subleaves = a;
  found.fma = fma;
  found.f16c = f16c;
  found.avx2 = b >> 5 & 1;
  found.avx512 = zmm && (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1);
  found.avx512_vnni = found.avx512 && (c >> 11 & 1);
  const bool tiles = (saved & 0x60000) == 0x60000 && (d >> 24 & 1) && may_use_tiles();
  found.amx_bf16 = tiles && (d >> 22 & 1);
  found.amx_int8 = tiles && (d >> 25 & 1);
  if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
    found.avx_vnni = a >> 4 & 1;
    found.avx512_bf16 = found.avx512 && (a >> 5 & 1);
  }
#endif
  return found;
}

std::string CpuFeatures::text() const {
  std::string text;
  const auto name = [&](bool has, const char* word) {
    if (has) text += (text.empty() ? "" : " ") + std::string(word);
  };
  name(avx2, "avx2");
  name(fma, "fma");
  name(f16c, "f16c");
  name(avx512, "avx512");
  name(avx512_vnni, "avx512_vnni");
  name(avx512_bf16, "avx512_bf16");
  name(avx_vnni, "avx_vnni");
  name(amx_int8, "amx_int8");
  name(amx_bf16, "amx_bf16");
  return text;
}

std::span<std::byte> Workspace::get(int slot, std::size_t bytes) {
  const auto index = static_cast<std::size_t>(slot);
  if (index >= slots_.size()) slots_.resize(index + 1);
  Slot& at = slots_[index];
  if (at.memory.size() < bytes + kAlign) {
    at.memory.clear();  // nothing of the old contents is kept, so nothing need be copied
    at.memory.shrink_to_fit();
    at.memory.resize(bytes + kAlign);
  }
  const auto address = reinterpret_cast<std::uintptr_t>(at.memory.data());
  return {at.memory.data() + (kAlign - address % kAlign) % kAlign, bytes};
}

void require_cpu(const Backend& on) {
  DESKHAND_ASSERT(on.kind == Backend::Kind::kCpu, "in this build this op has no kernels but the CPU's");
  DESKHAND_ASSERT(on.pool && on.workspace, "a CPU backend has a thread pool and a workspace");
}

View scratch(const Backend& on, int slot, DType type, const Shape& shape) {
  constexpr int kOfOpsOnGpu = 64;
  const std::int64_t bytes = shape.rows() * row_bytes(type, shape.last());
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return {on.cuda->scratch(kOfOpsOnGpu + slot, bytes), type, shape, Device::kCuda};
  return {on.workspace->get(slot, static_cast<std::size_t>(bytes)).data(), type, shape};
}

}  // namespace deskhand
