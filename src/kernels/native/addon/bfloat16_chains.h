// Sums of products of bfloat16, by instructions and by emulation.
//
// A sum goes in groups of kGroup neighbours, as the tiles of AMX take them (tdpbf16ps; operands_amx.cc):
// a group is two chains of fused multiply-adds that begin at 0, one of its neighbours 0, 2, 4 …, one of 1, 3,
// 5 …; the two are added, and then the group to the sum. Each step rounds to nearest and gives 0 with the
// sign of the result where that is below 2^-126 once rounded; MXCSR plays no part. vdpbf16ps of AVX512_BF16
// is two such multiply-adds, one after the other. Where neither is there, two multiply-adds of float32 do the
// same. Results are equal to the bit; a NaN may have another sign.
#pragma once

#include "bfloat16.h"

namespace attention::ISA {

#if defined(__SSE__)

/// While it lives, results below 2^-126 are 0: decided after rounding on x86.
class FlushToZero {
 public:
  FlushToZero() : before_(_mm_getcsr()) { set(before_ | 0x8040); }
  ~FlushToZero() { set(before_); }
  FlushToZero(const FlushToZero&) = delete;
  FlushToZero& operator=(const FlushToZero&) = delete;

 private:
  /// No arithmetic on what is loaded moves across.
  static void set(unsigned mode) {
    asm volatile("" ::: "memory");
    _mm_setcsr(mode);
    asm volatile("" ::: "memory");
  }
  const unsigned before_;
};

inline Vec addFlushed(Vec a, Vec b) { return a + b; }
inline Vec multiplyAddFlushed(Vec a, Vec b, Vec c) { return fma(a, b, c); }

#else

/// AArch64 decides before rounding, so its mode is no help: see multiplyAddFlushed.
struct FlushToZero {};

/// a·b + c; 0 with its sign where it is below 2^-126 once rounded. The same sum, scaled up, tells: no number
/// that leads to so small a sum is too large for that.
inline Vec multiplyAddFlushed(Vec a, Vec b, Vec c) {
  const Vec sum = fma(a, b, c);
  const Vec size = abs(sum);
  const Mask small = both(less(broadcast(0), size), less(size, broadcast(2 * kSmallestNormal)));
  if (!any(small)) return sum;
  const Vec factor = broadcast(0x1p64f);
  const Mask tiny = less(abs(fma(a * factor, b, c * factor)), broadcast(0x1p-62f));
  return select(both(small, tiny), sum * broadcast(0), sum);
}

/// a + b; a sum below 2^-126 needs no rounding.
inline Vec addFlushed(Vec a, Vec b) {
  const Vec sum = a + b;
  return select(less(abs(sum), broadcast(kSmallestNormal)), sum * broadcast(0), sum);
}

#endif

#if defined(__AVX512BF16__)

/// Every other word belongs to one of the chains.
constexpr size_t kChainStep = 2;

inline Vec chainPart(Vec words, int) { return words; }
/// c + Σ of the two products of each word.
inline Vec multiplyAddPart(Vec a, Vec b, Vec c) {
  return {_mm512_dpbf16_ps(c.v, (__m512bh)a.v, (__m512bh)b.v)};
}

#else

/// A half of every word belongs to one of the chains.
constexpr size_t kChainStep = 1;

inline Vec chainPart(Vec words, int chain) { return chain == 0 ? lowerOf(words) : upperOf(words); }
inline Vec multiplyAddPart(Vec a, Vec b, Vec c) { return multiplyAddFlushed(a, b, c); }

#endif

}  // namespace attention::ISA
