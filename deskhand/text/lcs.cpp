#include "deskhand/text/lcs.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

constexpr std::uint32_t kLow = 256;  // symbols below it are their own numbers
constexpr std::uint32_t kAbsent = 256;

// Small numbers for the symbols of a text: 257 and on for those that are not low; kAbsent for what the text lacks.
class SymbolNumbers {
 public:
  explicit SymbolNumbers(Symbols text) {
    if (std::all_of(text.begin(), text.end(), [](std::uint32_t symbol) { return symbol < kLow; })) return;
    slots_.resize(std::bit_ceil(text.size() * 2));
    for (const std::uint32_t symbol : text) {
      if (symbol < kLow) continue;
      Slot& slot = slots_[place(symbol)];
      if (slot.number == 0) slot = {symbol, ++last_};
    }
  }

  std::uint32_t last() const { return last_; }
  std::uint32_t of(std::uint32_t symbol) const {
    if (symbol < kLow) return symbol;
    if (slots_.empty()) return kAbsent;
    const Slot& slot = slots_[place(symbol)];
    return slot.number == 0 ? kAbsent : slot.number;
  }

 private:
  struct Slot {
    std::uint32_t symbol = 0, number = 0;  // 0: free
  };
  std::size_t place(std::uint32_t symbol) const {
    std::size_t at = (symbol * std::uint64_t{0x9E3779B97F4A7C15} >> 32) & (slots_.size() - 1);
    while (slots_[at].number != 0 && slots_[at].symbol != symbol) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<Slot> slots_;  // at most half full
  std::uint32_t last_ = kAbsent;
};

// x += u with the carry in and out, over N words. Compilers lose the carry flag between two words; a chain of adc is 1.5 times faster.
template <std::size_t N>
inline void add_with_carry(std::uint64_t* x, const std::uint64_t* u, std::uint8_t& carry) {
  static_assert(N >= 1 && N <= 4);
#if defined(__x86_64__)
  if constexpr (N == 1) {
    asm("addb $-1, %b1\n\tadcq %2, %0\n\tsetc %b1" : "+r"(x[0]), "+q"(carry) : "r"(u[0]) : "cc");
  } else if constexpr (N == 2) {
    asm("addb $-1, %b2\n\tadcq %3, %0\n\tadcq %4, %1\n\tsetc %b2" : "+r"(x[0]), "+r"(x[1]), "+q"(carry) : "r"(u[0]), "r"(u[1]) : "cc");
  } else if constexpr (N == 3) {
    asm("addb $-1, %b3\n\tadcq %4, %0\n\tadcq %5, %1\n\tadcq %6, %2\n\tsetc %b3"
        : "+r"(x[0]), "+r"(x[1]), "+r"(x[2]), "+q"(carry)
        : "r"(u[0]), "r"(u[1]), "r"(u[2])
        : "cc");
  } else {
    asm("addb $-1, %b4\n\tadcq %5, %0\n\tadcq %6, %1\n\tadcq %7, %2\n\tadcq %8, %3\n\tsetc %b4"
        : "+r"(x[0]), "+r"(x[1]), "+r"(x[2]), "+r"(x[3]), "+q"(carry)
        : "r"(u[0]), "r"(u[1]), "r"(u[2]), "r"(u[3])
        : "cc");
  }
#else
  for (std::size_t i = 0; i < N; ++i) {
    const std::uint64_t sum = x[i] + u[i];
    const std::uint64_t total = sum + carry;
    carry = static_cast<std::uint8_t>((sum < u[i]) | (total < sum));
    x[i] = total;
  }
#endif
}

constexpr std::size_t kStripe = 4;  // words of `a` that stay in registers while all of `b` passes

// A zero bit i of S says that LCS grows at symbol i of a. A symbol of b: u = S & matches, S = (S + u) | (S - u). The bit that leaves on top
// is what LCS grows by; it enters the next stripe.
template <std::size_t N>
void pass_stripe(const std::uint64_t* matches, std::span<const std::uint32_t> b, std::uint8_t* carries) {
  std::uint64_t s[N], u[N], x[N];
  for (std::size_t i = 0; i < N; ++i) s[i] = ~std::uint64_t{0};
  for (std::size_t j = 0; j < b.size(); ++j) {
    const std::uint64_t* row = matches + std::size_t{b[j]} * kStripe;
    for (std::size_t i = 0; i < N; ++i) {
      asm("" : "+r"(s[i]));  // stay where adc can be; two of them in a vector register are four times slower
      u[i] = s[i] & row[i];
      x[i] = s[i];
    }
    std::uint8_t carry = carries[j];
    add_with_carry<N>(x, u, carry);
    carries[j] = carry;
    for (std::size_t i = 0; i < N; ++i) s[i] = x[i] | (s[i] - u[i]);
  }
}

// (length m + n, with room behind for whole blocks) a cell takes its strands h from the left and v from above. They cross, unless the
// symbols are equal or they have crossed before (h > v).
constexpr std::size_t kBlock = 32;
template <class Int>
struct Strands {
  std::vector<Int> a, b, h, v;  // a and h from bottom to top

  Strands(Symbols rows, Symbols columns) {
    const std::size_t m = rows.size(), n = columns.size();
    // What is behind the ends never moves: its symbols are unequal and its h is the least, its v the greatest.
    a.assign(m + kBlock, Int{-1});
    b.assign(n + kBlock, Int{-2});
    h.assign(m + kBlock, std::numeric_limits<Int>::min());
    v.assign(n + kBlock, std::numeric_limits<Int>::max());
    const SymbolNumbers numbers(rows);
    for (std::size_t i = 0; i < m; ++i) a[m - 1 - i] = static_cast<Int>(numbers.of(rows[i]));
    for (std::size_t j = 0; j < n; ++j) b[j] = static_cast<Int>(numbers.of(columns[j]));
    std::iota(h.begin(), h.begin() + static_cast<std::ptrdiff_t>(m), Int{0});
    std::iota(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(n), static_cast<Int>(m));
  }
};

template <class Int>
[[gnu::always_inline]] inline void comb_blocks(Int* __restrict h, Int* __restrict v, const Int* __restrict a, const Int* __restrict b,
                                               std::size_t blocks) {
  for (std::size_t block = 0; block < blocks; ++block) {
    for (std::size_t k = block * kBlock; k < (block + 1) * kBlock; ++k) {
      const Int swap = static_cast<Int>(-static_cast<Int>((a[k] == b[k]) | (h[k] > v[k])));
      const Int change = static_cast<Int>((h[k] ^ v[k]) & swap);
      h[k] = static_cast<Int>(h[k] ^ change);
      v[k] = static_cast<Int>(v[k] ^ change);
    }
  }
}

template <class Int>
[[gnu::always_inline]] inline void comb(Strands<Int>& strands, std::size_t m, std::size_t n) {
  for (std::size_t diagonal = 0; diagonal < m + n - 1; ++diagonal) {
    const std::size_t from = diagonal < m ? 0 : diagonal - (m - 1), to = std::min(n, diagonal + 1);  // columns
    const std::size_t row = m - 1 + from - diagonal;
    comb_blocks(strands.h.data() + row, strands.v.data() + from, strands.a.data() + row, strands.b.data() + from,
                (to - from + kBlock - 1) / kBlock);
  }
}

// The same loop for each instruction set; the compiler makes vectors of it.
template <class Int>
void comb_plain(Strands<Int>& strands, std::size_t m, std::size_t n) {
  comb(strands, m, n);
}
#if defined(__x86_64__)
template <class Int>
[[gnu::target("avx2")]] void comb_avx2(Strands<Int>& strands, std::size_t m, std::size_t n) {
  comb(strands, m, n);
}
template <class Int>
[[gnu::target("avx512bw,avx512vl")]] void comb_avx512(Strands<Int>& strands, std::size_t m, std::size_t n) {
  comb(strands, m, n);
}
#endif

template <class Int>
std::vector<std::int32_t> combed(Symbols a, Symbols b) {
  Strands<Int> strands(a, b);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    comb_avx512(strands, a.size(), b.size());
  } else if (__builtin_cpu_supports("avx2")) {
    comb_avx2(strands, a.size(), b.size());
  } else {
    comb_plain(strands, a.size(), b.size());
  }
#else
  comb_plain(strands, a.size(), b.size());
#endif
  std::vector<std::int32_t> found(b.size());
  const auto m = static_cast<std::int32_t>(a.size());
  for (std::size_t j = 0; j < b.size(); ++j) found[j] = std::max(static_cast<std::int32_t>(strands.v[j]) - m, -1);
  return found;
}

}  // namespace

std::vector<std::uint8_t> lcs_growth(Symbols a, Symbols b) {
  std::vector<std::uint8_t> growth(b.size(), 0);
  if (a.empty() || b.empty()) return growth;
  const SymbolNumbers numbers(a);
  std::vector<std::uint32_t> a_numbers(a.begin(), a.end()), b_numbers(b.begin(), b.end());
  for (std::uint32_t& symbol : a_numbers) symbol = numbers.of(symbol);
  for (std::uint32_t& symbol : b_numbers) symbol = numbers.of(symbol);

  std::vector<std::uint64_t> matches((numbers.last() + std::size_t{1}) * kStripe);  // bit i of a symbol's row: a[i] is that symbol
  for (std::size_t begin = 0; begin < a.size(); begin += 64 * kStripe) {
    const auto part = std::span(a_numbers).subspan(begin, std::min(64 * kStripe, a.size() - begin));
    for (std::size_t i = 0; i < part.size(); ++i) matches[part[i] * kStripe + i / 64] |= std::uint64_t{1} << i % 64;
    switch ((part.size() + 63) / 64) {
      case 1:
        pass_stripe<1>(matches.data(), b_numbers, growth.data());
        break;
      case 2:
        pass_stripe<2>(matches.data(), b_numbers, growth.data());
        break;
      case 3:
        pass_stripe<3>(matches.data(), b_numbers, growth.data());
        break;
      default:
        pass_stripe<4>(matches.data(), b_numbers, growth.data());
    }
    for (const std::uint32_t number : part) std::fill_n(&matches[number * kStripe], kStripe, 0);
  }
  return growth;
}

std::size_t lcs_length(Symbols a, Symbols b) {
  const auto same_begin = static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  a = a.subspan(same_begin), b = b.subspan(same_begin);
  const auto same_end = static_cast<std::size_t>(std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend()).first - a.rbegin());
  a = a.first(a.size() - same_end), b = b.first(b.size() - same_end);
  const auto growth = a.size() < b.size() ? lcs_growth(b, a) : lcs_growth(a, b);  // a step costs the same for one word or two
  return std::accumulate(growth.begin(), growth.end(), same_begin + same_end);
}

std::vector<std::int32_t> lcs_strands(Symbols a, Symbols b) {
  DESKHAND_ASSERT(a.size() < 1u << 30 && b.size() < 1u << 30, "strands are numbered in 31 bits");
  if (a.empty()) {
    std::vector<std::int32_t> straight(b.size());
    std::iota(straight.begin(), straight.end(), 0);
    return straight;
  }
  if (b.empty()) return {};
  return a.size() + b.size() + kLow < 1u << 15 ? combed<std::int16_t>(a, b) : combed<std::int32_t>(a, b);
}

}  // namespace deskhand
