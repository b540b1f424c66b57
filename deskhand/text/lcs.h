// Lengths of longest common subsequences (LCS) of two rows of symbols: characters or word numbers, any 32-bit values.
// Bit-parallel after Hyyrö, "Bit-parallel LCS-length computation revisited" (2004): 64 symbols of `a` a word. For all parts of `b` at once
// the strands of Tiskin, "Semi-local string comparison" (2008), combed by anti-diagonals as Mishin, Berezun and Tiskin (2021) do.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace deskhand {

using Symbols = std::span<const std::uint32_t>;

// LCS of a and b. Time length a * length b / 64, memory linear.
std::size_t lcs_length(Symbols a, Symbols b);

// (length b) element j is LCS(a, b[0, j + 1)) - LCS(a, b[0, j)): 0 or 1.
std::vector<std::uint8_t> lcs_growth(Symbols a, Symbols b);

// (length b) the places from which every LCS with a part of b follows:
//   LCS(a, b[i, j)) = (j - i) - how many e in [i, j) have strands[e] >= i.
// -1 where a strand comes from before b. Time length a * length b, many cells at once; memory linear. Lengths below 2^30.
std::vector<std::int32_t> lcs_strands(Symbols a, Symbols b);

}  // namespace deskhand
