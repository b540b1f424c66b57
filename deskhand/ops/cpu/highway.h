// Included by files that are compiled once for each set of instructions (hwy/foreach_target.h); DESKHAND_CHOOSE picks a set by the
// backend's features, which tests lower.
#pragma once
#include <hwy/detect_targets.h>

// Three sets are enough on x86: what every x86-64 has, AVX2 and AVX-512.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#endif

#if HWY_ARCH_X86
#define DESKHAND_CHOOSE(on, name) \
  ((on).cpu.avx512 ? N_AVX3::name : (on).cpu.avx2 && (on).cpu.fma && (on).cpu.f16c ? N_AVX2::name : HWY_NAMESPACE::name)
#else
#define DESKHAND_CHOOSE(on, name) HWY_NAMESPACE::name
#endif
