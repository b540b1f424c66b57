// bf16 tiles in shared memory for the tensor cores: mma.m16n8k16 with f32 sums (sm_80 and newer; fragments: PTX ISA, "Matrix fragments for
// mma.m16n8k16"). A tile's row is kWidth elements in chunks of 16 bytes, turned about by the row's number so that eight rows of one chunk
// lie in different banks.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

namespace deskhand::cuda {

using Bf16 = __nv_bfloat16;

constexpr int kChunk = 8;  // elements of 16 bytes

// Where chunk `chunk` of row `row` begins.
template <int kWidth>
__device__ inline int place_of(int row, int chunk) {
  constexpr int kChunks = kWidth / kChunk, kMask = (kChunks < 8 ? kChunks : 8) - 1;
  return (row * kChunks + (chunk ^ (row & kMask))) * kChunk;
}

__device__ inline std::uint32_t shared_address(const void* at) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(at));
}

// 16 bytes from global to shared memory in the background; zeros where there is nothing to be had.
__device__ inline void copy_async(void* to, const void* from, bool is_there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from), "r"(is_there ? 16 : 0) : "memory");
}
__device__ inline void end_copies() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
// Until all but the last kOpen groups have arrived.
template <int kOpen>
__device__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kOpen) : "memory");
}

// Begins to copy a tile of kRows rows, each `step` elements after the one before; rows from `rows` on become zero.
template <int kWidth, int kRows, int kThreads>
__device__ void fetch(Bf16* tile, const Bf16* from, std::int64_t step, int rows) {
  constexpr int kChunks = kWidth / kChunk;
#pragma unroll
  for (int i = threadIdx.x; i < kRows * kChunks; i += kThreads) {
    const int row = i / kChunks, chunk = i % kChunks;
    const bool is_there = row < rows;
    copy_async(tile + place_of<kWidth>(row, chunk), from + (is_there ? row : 0) * step + chunk * kChunk, is_there);
  }
}

using Fragment = std::uint32_t[4];

__device__ inline void load_matrices(Fragment& to, const Bf16* at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(at))
               : "memory");
}
__device__ inline void load_turned_matrices(Fragment& to, const Bf16* at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(at))
               : "memory");
}

// The first factor (16 x 16): rows `row`.. of the tile, depth its columns `column`...
template <int kWidth>
__device__ void load_left(Fragment& to, const Bf16* tile, int row, int column) {
  const int lane = threadIdx.x % 32;
  load_matrices(to, tile + place_of<kWidth>(row + lane % 16, column / kChunk + lane / 16));
}

// The second factor (16 x 16) turned: its columns are the tile's rows `row`.., its depth the tile's columns `column`... Elements 0 and 1
// are for the first eight columns, 2 and 3 for the others.
template <int kWidth>
__device__ void load_right_of_rows(Fragment& to, const Bf16* tile, int row, int column) {
  const int lane = threadIdx.x % 32;
  load_matrices(to, tile + place_of<kWidth>(row + lane % 8 + lane / 16 * 8, column / kChunk + lane / 8 % 2));
}

// The second factor as it lies: depth the tile's rows, columns its columns.
template <int kWidth>
__device__ void load_right(Fragment& to, const Bf16* tile, int row, int column) {
  const int lane = threadIdx.x % 32;
  load_turned_matrices(to, tile + place_of<kWidth>(row + lane % 16, column / kChunk + lane / 16));
}

// sum (16 x 8) += left (16 x 16) right (16 x 8). A thread's sums: rows lane / 4 and 8 more, columns lane % 4 * 2 and 1 more.
__device__ inline void multiply_add(float (&sum)[4], const Fragment& left, std::uint32_t right_low, std::uint32_t right_high) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right_low), "r"(right_high));
}

__device__ inline std::uint32_t pair_of(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const std::uint32_t&>(pair);
}

// Two neighbouring sums (16 x 8 each) as a first factor of depth 16.
__device__ inline void left_of_sums(Fragment& to, const float (&first)[4], const float (&second)[4]) {
  to[0] = pair_of(first[0], first[1]);
  to[1] = pair_of(first[2], first[3]);
  to[2] = pair_of(second[0], second[1]);
  to[3] = pair_of(second[2], second[3]);
}

}  // namespace deskhand::cuda
