// Hopper's own instructions (sm_90a): tiles that the copy engine brings (TMA), barriers that count bytes, and products of a warpgroup
// (wgmma). A tile of bf16 lies in columns of 64, each row 128 bytes, 16-byte chunks turned about by the row's number (the 128-byte
// swizzle): element (row, column) of a tile of kRows rows is in column block column / 64. PTX ISA: "Asynchronous Warpgroup Level Matrix
// Multiply-Accumulate".
#pragma once
#include <cuda.h>
#include <cuda_bf16.h>

#include <cstdint>

#include "deskhand/ops/cuda/tiles.cuh"

namespace deskhand::cuda::hopper {

constexpr int kColumnBlock = 64, kRowBytes = 128, kAtomBytes = 8 * kRowBytes;  // an atom of the swizzle: eight rows

using Barrier = std::uint64_t;

__device__ inline void make_barrier(Barrier& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(&barrier)), "r"(arrivals) : "memory");
}
// After all barriers are made, before anybody uses them; a __syncthreads follows.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async;\n" ::: "memory");
}
__device__ inline void arrive(Barrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(&barrier)) : "memory");
}
__device__ inline void arrive_expecting(Barrier& barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(shared_address(&barrier)), "r"(bytes) : "memory");
}
// Until the phase of this parity has ended: 0, 1, 0, ... A new barrier's phase before the first counts as ended.
__device__ inline void wait(Barrier& barrier, int parity) {
  std::uint32_t done = 0;
  while (!done)
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n"
                 : "=r"(done)
                 : "r"(shared_address(&barrier)), "r"(parity)
                 : "memory");
}

// Where a pipe of kStages tiles stands: its stage and the parity of the stage's present phase.
template <int kStages>
struct Stage {
  int at = 0, parity = 0;
  __device__ void next() {
    if (++at == kStages) {
      at = 0;
      parity ^= 1;
    }
  }
  __device__ Stage after() const {
    Stage to = *this;
    to.next();
    return to;
  }
};

// Rows row.. of one head, as many as the map's box has; rows beyond the map's end become zero.
__device__ inline void fetch_tile(void* tile, const CUtensorMap& map, Barrier& barrier, int row, int head) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];\n" ::"r"(
                   shared_address(tile)),
               "l"(&map), "r"(shared_address(&barrier)), "r"(0), "r"(row), "r"(0), "r"(head)
               : "memory");
}

// A place in a map of three directions.
struct MapPlace {
  int x, y, z;
};
// The box that begins there. `to`: the blocks of the cluster (a bit each) that get it, all at this block's addresses of the tile and of the
// barrier; 0: this block alone.
__device__ inline void fetch_box(void* tile, const CUtensorMap& map, Barrier& barrier, const MapPlace& from, std::uint16_t to) {
  if (to == 0)
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];\n" ::"r"(
                     shared_address(tile)),
                 "l"(&map), "r"(shared_address(&barrier)), "r"(from.x), "r"(from.y), "r"(from.z)
                 : "memory");
  else
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4, %5}], [%2], "
        "%6;\n" ::"r"(shared_address(tile)),
        "l"(&map), "r"(shared_address(&barrier)), "r"(from.x), "r"(from.y), "r"(from.z), "h"(to)
        : "memory");
}
// The way back: a box from shared memory, which every writer has published before.
__device__ inline void store_box(const CUtensorMap& map, const void* tile, const MapPlace& to) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];\ncp.async.bulk.commit_group;\n" ::"l"(&map),
               "r"(shared_address(tile)), "r"(to.x), "r"(to.y), "r"(to.z)
               : "memory");
}
// Until all but the last kOpen boxes that this thread stored have been read.
template <int kOpen>
__device__ void wait_for_stores() {
  asm volatile("cp.async.bulk.wait_group.read %0;\n" ::"n"(kOpen) : "memory");
}
// What this thread wrote to shared memory, the copy engine may read after the next barrier.
__device__ inline void publish_writes() {
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}
// Four 8 x 8 matrices, each row where a lane says: load_matrices (tiles.cuh) the other way.
__device__ inline void store_matrices(Bf16* to, const Fragment& from) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};\n" ::"r"(shared_address(to)), "r"(from[0]), "r"(from[1]),
               "r"(from[2]), "r"(from[3])
               : "memory");
}
// All threads of a warpgroup, its number from 1 on.
__device__ inline void meet(int group) {
  asm volatile("bar.sync %0, 128;\n" ::"r"(group) : "memory");
}

// The number of this block in its cluster, and its barrier in another of them.
__device__ inline int block_of_cluster() {
  std::uint32_t number;
  asm volatile("mov.u32 %0, %%cluster_ctarank;\n" : "=r"(number));
  return static_cast<int>(number);
}
__device__ inline void arrive_at(Barrier& barrier, int block) {
  asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\nmbarrier.arrive.shared::cluster.b64 _, [there];\n}\n" ::"r"(
                   shared_address(&barrier)),
               "r"(block)
               : "memory");
}
// All threads of all blocks of the cluster.
__device__ inline void meet_cluster() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;\n" ::: "memory");
}

template <int kRegisters>
__device__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}

__device__ inline std::uint64_t descriptor(std::uint32_t address, int block_step) {
  return static_cast<std::uint64_t>((address & 0x3ffff) >> 4) | static_cast<std::uint64_t>(block_step >> 4) << 16 |
         static_cast<std::uint64_t>(kAtomBytes >> 4) << 32 | 1ull << 62;
}
// A factor whose depth are the tile's columns: depth `column`.., rows `row`.. (a multiple of 8).
template <int kRows>
__device__ std::uint64_t depth_in_columns(const Bf16* tile, int row, int column) {
  return descriptor(shared_address(tile) + column / kColumnBlock * kRows * kRowBytes + row * kRowBytes + column % kColumnBlock * 2, 16);
}
// A second factor whose depth are the tile's rows, `row`.., and whose columns are all the tile's columns.
template <int kRows>
__device__ std::uint64_t depth_in_rows(const Bf16* tile, int row) {
  return descriptor(shared_address(tile) + row * kRowBytes, kRows * kRowBytes);
}

// Between what was written to registers before and the products that read or add to them.
__device__ inline void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}
__device__ inline void end_products() {
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}
// Until all but the last kOpen groups are done.
template <int kOpen>
__device__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kOpen) : "memory");
}
// The compiler does not know when products write to registers: nothing that reads or writes these may cross this line.
template <int kCount>
__device__ void hold(float (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}
template <int kCount>
__device__ void hold(std::uint32_t (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(registers[i])::"memory");
}

#define DESKHAND_SUMS_8(s, i) \
  "+f"(s[i]), "+f"(s[i + 1]), "+f"(s[i + 2]), "+f"(s[i + 3]), "+f"(s[i + 4]), "+f"(s[i + 5]), "+f"(s[i + 6]), "+f"(s[i + 7])
#define DESKHAND_SUMS_32(s) DESKHAND_SUMS_8(s, 0), DESKHAND_SUMS_8(s, 8), DESKHAND_SUMS_8(s, 16), DESKHAND_SUMS_8(s, 24)
#define DESKHAND_SUMS_64(s) \
  DESKHAND_SUMS_32(s), DESKHAND_SUMS_8(s, 32), DESKHAND_SUMS_8(s, 40), DESKHAND_SUMS_8(s, 48), DESKHAND_SUMS_8(s, 56)
#define DESKHAND_SUMS_128(s) DESKHAND_SUMS_64(s), DESKHAND_SUMS_32_FROM(s, 64), DESKHAND_SUMS_32_FROM(s, 96)
#define DESKHAND_SUMS_32_FROM(s, i) DESKHAND_SUMS_8(s, i), DESKHAND_SUMS_8(s, i + 8), DESKHAND_SUMS_8(s, i + 16), DESKHAND_SUMS_8(s, i + 24)
#define DESKHAND_NAMES_32                                                                                                              \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, " \
  "%28, "                                                                                                                              \
  "%29, %30, %31"
#define DESKHAND_NAMES_64                                                                                                 \
  DESKHAND_NAMES_32                                                                                                       \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, " \
  "%55, %56, %57, %58, %59, %60, %61, %62, %63"

#define DESKHAND_NAMES_128                                                                                                                 \
  DESKHAND_NAMES_64                                                                                                                        \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, "   \
  "%90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, " \
  "%114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// sum (64 x N, N = 2 kSums) = left (64 x 16) right (16 x N), added to what it was if `adds`. Both factors' depths are their tiles' columns.
// A thread's sums: 4 to a run of eight columns, as multiply_add's (tiles.cuh); its warp has rows 16 times its number of the warpgroup's.
template <int kSums>
__device__ void multiply(float (&sum)[kSums], std::uint64_t left, std::uint64_t right, bool adds) {
  static_assert(kSums == 32 || kSums == 64);
  if constexpr (kSums == 32)
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" DESKHAND_NAMES_32
                 "}, %32, %33, p, 1, 1, 0, 0;\n}\n"
                 : DESKHAND_SUMS_32(sum)
                 : "l"(left), "l"(right), "r"(static_cast<int>(adds)));
  else
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" DESKHAND_NAMES_64
                 "}, %64, %65, p, 1, 1, 0, 0;\n}\n"
                 : DESKHAND_SUMS_64(sum)
                 : "l"(left), "l"(right), "r"(static_cast<int>(adds)));
}

// The same of 256 columns; kTurned: the right factor's depth are its tile's rows.
template <bool kTurned>
__device__ void multiply_wide(float (&sum)[128], std::uint64_t left, std::uint64_t right, bool adds) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" DESKHAND_NAMES_128
               "}, %128, %129, p, 1, 1, 0, %131;\n}\n"
               : DESKHAND_SUMS_128(sum)
               : "l"(left), "l"(right), "r"(static_cast<int>(adds)), "n"(kTurned ? 1 : 0));
}

// sum += left right; the left factor in registers, the right one's depth its tile's rows.
template <int kSums>
__device__ void multiply_add(float (&sum)[kSums], const std::uint32_t* left, std::uint64_t right) {
  static_assert(kSums == 32 || kSums == 64);
  if constexpr (kSums == 32)
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" DESKHAND_NAMES_32
                 "}, {%32, %33, %34, %35}, %36, p, 1, 1, 1;\n}\n"
                 : DESKHAND_SUMS_32(sum)
                 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right));
  else
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" DESKHAND_NAMES_64
                 "}, {%64, %65, %66, %67}, %68, p, 1, 1, 1;\n}\n"
                 : DESKHAND_SUMS_64(sum)
                 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right));
}

#undef DESKHAND_SUMS_8
#undef DESKHAND_SUMS_32
#undef DESKHAND_SUMS_64
#undef DESKHAND_NAMES_32
#undef DESKHAND_NAMES_64
#undef DESKHAND_SUMS_128
#undef DESKHAND_SUMS_32_FROM
#undef DESKHAND_NAMES_128

// sum = the rows first.. of `left` (64) times the first 2 kSums rows of `right`, over kWidth columns.
template <int kWidth, int kLeftRows, int kRightRows, int kSums>
__device__ void multiply_tiles(float (&sum)[kSums], const Bf16* left, int first, const Bf16* right) {
#pragma unroll
  for (int depth = 0; depth < kWidth; depth += 16)
    multiply(sum, depth_in_columns<kLeftRows>(left, first, depth), depth_in_columns<kRightRows>(right, 0, depth), depth > 0);
}

// sum (64 x 2 kSums) += left (64 x 4 kCount) times the first 4 kCount rows of `right`.
template <int kRightRows, int kSums, int kCount>
__device__ void add_product(float (&sum)[kSums], const std::uint32_t (&left)[kCount], const Bf16* right) {
#pragma unroll
  for (int depth = 0; depth < 4 * kCount; depth += 16) multiply_add(sum, left + depth / 4, depth_in_rows<kRightRows>(right, depth));
}

// Sums as the left factor of the next product.
template <int kSums>
__device__ void pack(std::uint32_t (&to)[kSums / 2], const float (&sum)[kSums]) {
#pragma unroll
  for (int i = 0; i < kSums / 2; ++i) to[i] = pair_of(sum[2 * i], sum[2 * i + 1]);
}

// The first registers of an array.
template <int kCount, class T, int kAll>
__device__ T (&first_of(T (&all)[kAll]))[kCount] {
  static_assert(kCount <= kAll);
  return reinterpret_cast<T(&)[kCount]>(all);
}

// 2 to the power of x.
__device__ inline float exp2_of(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(power) : "f"(x));
  return power;
}

// One of a thread's two rows of sums (kHalf 0 or 1) times `factor`, written as bf16: the four threads of a row change places so that each
// writes 16 bytes.
template <int kHalf, int kSums>
__device__ void write_row(Bf16* row, const float (&sum)[kSums], float factor, bool is_there) {
  const int lane = threadIdx.x % 4;
#pragma unroll
  for (int run = 0; run < kSums / 4; run += 4) {
    std::uint32_t word[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = 4 * (run + i) + 2 * kHalf;
      word[i] = pair_of(sum[at] * factor, sum[at + 1] * factor);
    }
#pragma unroll
    for (int step = 1; step < 4; step *= 2)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (!(i & step)) {
          const bool upper = lane & step;
          const std::uint32_t got = __shfl_xor_sync(~0u, upper ? word[i] : word[i + step], step);
          if (upper)
            word[i] = got;
          else
            word[i + step] = got;
        }
    if (is_there) *reinterpret_cast<uint4*>(row + (run + lane) * 8) = make_uint4(word[0], word[1], word[2], word[3]);
  }
}

}  // namespace deskhand::cuda::hopper
