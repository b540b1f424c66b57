// Quantised matrices laid anew on the GPU for products of a few rows: their blocks' bytes in tiles of 16 rows and 256 columns, in which a
// lane of the tensor cores finds its weights side by side. All tiles of 16 rows lie one after another, then those of the next 16, and take
// as many bytes as the blocks. Inside (g and t: a lane's eighth and its place there, a word four bytes):
//
//   tiled_q4_0  16 rows of 8 scales; for each two runs of 32 weights a lane's 16 bytes: word t of the first run's nibbles of rows g and
//               g + 8, the same of the second run; nibbles less 8, as 4 bits with sign
//   tiled_q8_0  16 rows of 8 scales; for each run a lane's 16 bytes: word t of rows g and g + 8, word t + 4 of both
//   tiled_q4_k  16 blocks' first 16 bytes; for each 32 bytes of nibbles a lane's 16: word t of rows g and g + 8, word t + 4 of both
#pragma once
#include "deskhand/ops/backend.h"
#include "deskhand/tensor/tensor.h"

namespace deskhand {

inline constexpr std::int64_t kTiledRows = 16, kTiledWidth = 256;

// q4_0, q8_0 and q4_k (O, I) in whole tiles.
bool can_be_tiled(ConstView weight);
// The same on the GPU in tiles. Waits for all work of the GPU before and after. Throws Error(kTooLarge).
Tensor tiled(ConstView weight);

namespace cuda {
// `from` lies on the GPU as its file has it.
void lay_tiles(View to, ConstView from);
}  // namespace cuda

}  // namespace deskhand
