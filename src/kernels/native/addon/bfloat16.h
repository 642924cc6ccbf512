// Operands in bfloat16: rounding, and how numbers are packed to words of 32 bits; see bfloat16_chains.h for
// their sums.
//
// bfloat16 is the upper half of a float32. A word holds two numbers, which lie near each other along the sum.
// They are rounded to nearest, ties to even; those below 2^-126 become 0 with their sign.
#pragma once

#include "operands.h"
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

inline float pairOf(float lower, float upper) {
  const uint32_t word = roundToBfloat16(lower) | roundToBfloat16(upper) << 16;
  float pair;
  std::memcpy(&pair, &word, sizeof pair);
  return pair;
}

#if defined(__AVX512F__)

/// The halves of words, as float32.
inline Vec lowerOf(Vec w) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(w.v), 16))}; }
inline Vec upperOf(Vec w) {
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(w.v), _mm512_set1_epi32(-65536)))};
}
/// The words of which each lane has the upper halves of both.
inline Vec joinUpperHalves(Vec lower, Vec upper) {
  const __m512i half = _mm512_srli_epi32(_mm512_castps_si512(lower.v), 16);
  return {_mm512_castsi512_ps(_mm512_or_si512(half, _mm512_castps_si512(upperOf(upper).v)))};
}

#endif

#if defined(__AVX512BF16__)

/// The words of which each lane holds `lower` and `upper` in its halves.
inline Vec pairsOf(Vec lower, Vec upper) {
  const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(upper.v, lower.v);
  const __m512i words =
      _mm512_set_epi32(0x1f000f, 0x1e000e, 0x1d000d, 0x1c000c, 0x1b000b, 0x1a000a, 0x190009, 0x180008,
                       0x170007, 0x160006, 0x150005, 0x140004, 0x130003, 0x120002, 0x110001, 0x100000);
  // Lower half from the first 16 numbers, upper half from the last 16.
  return {_mm512_castsi512_ps(_mm512_permutexvar_epi16(words, halves))};
}

#else

#if defined(__AVX512F__)

/// Words whose upper halves are x as bfloat16, for numbers that are normal.
inline Vec roundNormal(Vec x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff)))};
}

#elif defined(__AVX2__)

inline Vec lowerOf(Vec w) { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(w.v), 16))}; }
inline Vec upperOf(Vec w) { return {_mm256_and_ps(w.v, _mm256_castsi256_ps(_mm256_set1_epi32(-65536)))}; }
/// Words whose upper halves are x as bfloat16, for numbers that are normal.
inline Vec roundNormal(Vec x) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff)))};
}
inline Vec joinUpperHalves(Vec lower, Vec upper) {
  const __m256i half = _mm256_srli_epi32(_mm256_castps_si256(lower.v), 16);
  return {_mm256_or_ps(_mm256_castsi256_ps(half), upperOf(upper).v)};
}

#else

inline Vec lowerOf(Vec w) { return {vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(w.v), 16))}; }
inline Vec upperOf(Vec w) {
  return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(w.v), vdupq_n_u32(0xffff0000)))};
}
/// Words whose upper halves are x as bfloat16, for numbers that are normal.
inline Vec roundNormal(Vec x) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x.v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  return {vreinterpretq_f32_u32(vaddq_u32(vaddq_u32(bits, odd), vdupq_n_u32(0x7fff)))};
}
inline Vec joinUpperHalves(Vec lower, Vec upper) {
  return {
      vreinterpretq_f32_u32(vsriq_n_u32(vreinterpretq_u32_f32(upper.v), vreinterpretq_u32_f32(lower.v), 16))};
}

#endif

/// Words whose upper halves are x as bfloat16.
inline Vec roundToUpperHalf(Vec x) {
  const Vec size = abs(x);
  // Infinities and NaN stay as they are; arithmetic makes none that is not quiet.
  const Vec rounded = select(less(size, broadcast(INFINITY)), roundNormal(x), x);
  return select(less(size, broadcast(kSmallestNormal)), x * broadcast(0), rounded);
}

/// The words of which each lane holds `lower` and `upper` in its halves.
inline Vec pairsOf(Vec lower, Vec upper) {
  return joinUpperHalves(roundToUpperHalf(lower), roundToUpperHalf(upper));
}

/// x as bfloat16, in float32.
inline Vec rounded(Vec x) { return upperOf(roundToUpperHalf(x)); }

#endif

inline float rounded(float x) {
  const uint32_t bits = roundToBfloat16(x) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

/// How four neighbours share two words: {lower, upper} of each.
#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
/// vdpbf16ps takes the two numbers of a word one after the other, the upper one first: so they are neighbours
/// in a chain, which takes every other number.
constexpr int kSharing[2][2] = {{2, 0}, {3, 1}};
#else
/// The lower halves belong to one chain, the upper ones to the other.
constexpr int kSharing[2][2] = {{0, 1}, {2, 3}};
#endif

/// See Pack. Two rows of words hold four rows of float32.
inline void packPairs(const float* rows, size_t count, size_t columns, float* words, size_t wordRows) {
  const size_t whole = columns - columns % kLanes;
  for (size_t p = 0; p < wordRows; p += 2, words += 2 * columns) {
    const float* row[4];
    for (size_t i = 0; i < 4; i++) row[i] = 2 * p + i < count ? rows + (2 * p + i) * columns : nullptr;
    for (size_t c = 0; c < whole; c += kLanes) {
      Vec x[4];
      for (int i = 0; i < 4; i++) x[i] = row[i] == nullptr ? broadcast(0) : load(row[i] + c);
      for (int w = 0; w < 2; w++)
        store(words + w * columns + c, pairsOf(x[kSharing[w][0]], x[kSharing[w][1]]));
    }
    for (size_t c = whole; c < columns; c++) {
      float x[4];
      for (int i = 0; i < 4; i++) x[i] = row[i] == nullptr ? 0 : row[i][c];
      for (int w = 0; w < 2; w++) words[w * columns + c] = pairOf(x[kSharing[w][0]], x[kSharing[w][1]]);
    }
  }
}

}  // namespace attention::ISA
