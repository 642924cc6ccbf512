// Pairs of bfloat16 in words of 32 bits: rounding, and the product that AVX512_BF16 has an instruction for.
//
// bfloat16 is the upper half of a float32. A word holds two neighbours along the sum, the first in its lower
// half. Numbers are rounded to nearest, ties to even; those below 2^-126 become 0 with their sign.
//
// vdpbf16ps is two fused multiply-adds, one after the other: c + odd·odd, then + even·even. Each rounds to
// nearest and gives 0 with the sign of the result where that is below 2^-126 once rounded; MXCSR plays no
// part. The emulation does the same, to the bit; a NaN may have another sign.
#pragma once

#include <cmath>

#include "simd.h"

namespace attention::ISA {

/// From here on numbers round to infinity.
constexpr float kBfloat16Limit = 0x1.ffp127f;
constexpr float kSmallestNormal = 1.17549435e-38f;  // 2^-126

inline uint32_t bitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

/// x as bfloat16, in the lower half.
inline uint32_t roundToBfloat16(float x) {
  const uint32_t bits = bitsOf(x);
  if (x != x) return bits >> 16 | 0x40;
  if (-kSmallestNormal < x && x < kSmallestNormal) return bits >> 31 << 15;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

inline float pairOf(float even, float odd) {
  const uint32_t word = roundToBfloat16(even) | roundToBfloat16(odd) << 16;
  float pair;
  std::memcpy(&pair, &word, sizeof pair);
  return pair;
}

#if defined(__AVX512BF16__)

/// The words of which each lane holds the neighbours `even` and `odd`.
inline Vec pairsOf(Vec even, Vec odd) {
  const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(odd.v, even.v);
  const __m512i words =
      _mm512_set_epi32(0x1f000f, 0x1e000e, 0x1d000d, 0x1c000c, 0x1b000b, 0x1a000a, 0x190009, 0x180008,
                       0x170007, 0x160006, 0x150005, 0x140004, 0x130003, 0x120002, 0x110001, 0x100000);
  // Lower half from the first 16 numbers, upper half from the last 16.
  return {_mm512_castsi512_ps(_mm512_permutexvar_epi16(words, halves))};
}
/// c + Σ of the two products of each word.
inline Vec multiplyAddPairs(Vec a, Vec b, Vec c) {
  return {_mm512_dpbf16_ps(c.v, (__m512bh)a.v, (__m512bh)b.v)};
}
/// The instruction needs no mode.
struct FlushToZero {};

#else

#if defined(__AVX512F__)

inline Vec evenOf(Vec w) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(w.v), 16))}; }
inline Vec oddOf(Vec w) {
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(w.v), _mm512_set1_epi32(-65536)))};
}
/// Words whose upper halves are x as bfloat16, for numbers that are normal.
inline Vec roundNormal(Vec x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff)))};
}
inline Vec joinUpperHalves(Vec even, Vec odd) {
  const __m512i lower = _mm512_srli_epi32(_mm512_castps_si512(even.v), 16);
  return {_mm512_castsi512_ps(_mm512_or_si512(lower, _mm512_castps_si512(oddOf(odd).v)))};
}

#elif defined(__AVX2__)

inline Vec evenOf(Vec w) { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(w.v), 16))}; }
inline Vec oddOf(Vec w) { return {_mm256_and_ps(w.v, _mm256_castsi256_ps(_mm256_set1_epi32(-65536)))}; }
/// Words whose upper halves are x as bfloat16, for numbers that are normal.
inline Vec roundNormal(Vec x) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff)))};
}
inline Vec joinUpperHalves(Vec even, Vec odd) {
  const __m256i lower = _mm256_srli_epi32(_mm256_castps_si256(even.v), 16);
  return {_mm256_or_ps(_mm256_castsi256_ps(lower), oddOf(odd).v)};
}

#else

inline Vec evenOf(Vec w) { return {vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(w.v), 16))}; }
inline Vec oddOf(Vec w) {
  return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(w.v), vdupq_n_u32(0xffff0000)))};
}
/// Words whose upper halves are x as bfloat16, for numbers that are normal.
inline Vec roundNormal(Vec x) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x.v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  return {vreinterpretq_f32_u32(vaddq_u32(vaddq_u32(bits, odd), vdupq_n_u32(0x7fff)))};
}
inline Vec joinUpperHalves(Vec even, Vec odd) {
  return {
      vreinterpretq_f32_u32(vsriq_n_u32(vreinterpretq_u32_f32(odd.v), vreinterpretq_u32_f32(even.v), 16))};
}

#endif

/// Words whose upper halves are x as bfloat16.
inline Vec roundToUpperHalf(Vec x) {
  const Vec size = abs(x);
  // Infinities and NaN stay as they are; arithmetic makes none that is not quiet.
  const Vec rounded = select(less(size, broadcast(INFINITY)), roundNormal(x), x);
  return select(less(size, broadcast(kSmallestNormal)), x * broadcast(0), rounded);
}

/// The words of which each lane holds the neighbours `even` and `odd`.
inline Vec pairsOf(Vec even, Vec odd) {
  return joinUpperHalves(roundToUpperHalf(even), roundToUpperHalf(odd));
}

#if defined(__SSE__)

/// While it lives, results below 2^-126 are 0, as vdpbf16ps has them: decided after rounding on x86.
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

#endif

/// c + Σ of the two products of each word.
inline Vec multiplyAddPairs(Vec a, Vec b, Vec c) {
  return multiplyAddFlushed(evenOf(a), evenOf(b), multiplyAddFlushed(oddOf(a), oddOf(b), c));
}

#endif

/// Rows of float32, `columns` wide, as rows of words: words[p][c] holds row 2p and row 2p + 1, which is zeros
/// where there is none. `words` may begin where the rows begin.
inline void packPairs(const float* rows, size_t count, size_t columns, float* words) {
  const size_t whole = columns - columns % kLanes;
  for (size_t row = 0; row < count; row += 2, words += columns) {
    const float* even = rows + row * columns;
    const float* odd = row + 1 < count ? even + columns : nullptr;
    for (size_t c = 0; c < whole; c += kLanes)
      store(words + c, pairsOf(load(even + c), odd == nullptr ? broadcast(0) : load(odd + c)));
    for (size_t c = whole; c < columns; c++) words[c] = pairOf(even[c], odd == nullptr ? 0 : odd[c]);
  }
}

}  // namespace attention::ISA
