// Sums across the lanes of vectors, in an order that is the same on every instruction set.
//
// Lanes count to kSumLanes, in one vector or in several. The lanes of each four are summed as (0 + 2) + (1 +
// 3).
#pragma once

#include <cstddef>

#include "simd.h"

namespace attention::ISA {

/// Lanes of the widest vector there is.
constexpr size_t kSumLanes = 16;

#if defined(__AVX512F__)

/// Four lanes for each four of a, b, c and d: their sums.
[[gnu::always_inline]] inline Vec sumFours(Vec a, Vec b, Vec c, Vec d) {
  const __m512d ab =
      _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v)));
  const __m512d cd =
      _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v)));
  return {_mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                        _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)))};
}

/// The sums of the fours of each vector side by side: (0 + 1) + (2 + 3).
[[gnu::always_inline]] inline Vec joinFours(const Vec (&fours)[4]) {
  const auto pairs = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  return {pairs(pairs(fours[0].v, fours[1].v), pairs(fours[2].v, fours[3].v))};
}

inline __m256 halvesOf(Vec a) {
  return _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
}

#elif defined(__AVX2__)

/// Four lanes for each four of a, b, c and d: their sums.
[[gnu::always_inline]] inline Vec sumFours(Vec a, Vec b, Vec c, Vec d) {
  const __m256d ab =
      _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v)));
  const __m256d cd =
      _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(c.v, d.v), _mm256_unpackhi_ps(c.v, d.v)));
  return {_mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
                        _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)))};
}

/// The sums of the fours of each vector side by side: 0 + 1.
[[gnu::always_inline]] inline Vec joinFours(const Vec (&fours)[2]) {
  return {_mm256_add_ps(_mm256_permute2f128_ps(fours[0].v, fours[1].v, 0x20),
                        _mm256_permute2f128_ps(fours[0].v, fours[1].v, 0x31))};
}

inline __m256 halvesOf(Vec a) { return a.v; }

#else

/// The sums of the lanes of a, b, c and d.
[[gnu::always_inline]] inline Vec sumFours(Vec a, Vec b, Vec c, Vec d) {
  const float32x4_t ab = vaddq_f32(vzip1q_f32(a.v, b.v), vzip2q_f32(a.v, b.v));
  const float32x4_t cd = vaddq_f32(vzip1q_f32(c.v, d.v), vzip2q_f32(c.v, d.v));
  return {vaddq_f32(vcombine_f32(vget_low_f32(ab), vget_low_f32(cd)),
                    vcombine_f32(vget_high_f32(ab), vget_high_f32(cd)))};
}

[[gnu::always_inline]] inline Vec joinFours(const Vec (&fours)[1]) { return fours[0]; }

#endif

/// Lane i is the sum of the lanes of v[i]: that of each four, then of the fours.
[[gnu::always_inline]] inline Vec sumEach(const Vec (&v)[kLanes]) {
  Vec fours[kLanes / 4];
#pragma GCC unroll 4
  for (int i = 0; i < kLanes / 4; i++)
    fours[i] = sumFours(v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]);
  return joinFours(fours);
}

#if defined(__SSE__)

/// The sum of the lanes: halves are added until there is one.
inline float sumLanes(Vec a) {
  const __m256 half = halvesOf(a);
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 eighth = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(eighth, _mm_movehdup_ps(eighth)));
}

#else

/// The sum of the lanes: halves are added until there is one.
inline float sumLanes(Vec a) {
  const float32x4_t half = vaddq_f32(a.v, vextq_f32(a.v, a.v, 2));
  return vgetq_lane_f32(half, 0) + vgetq_lane_f32(half, 1);
}

#endif

/// Adds neighbours until there is one: as sumEach does with vectors of more lanes.
template <size_t kCount>
Vec addNeighbours(const Vec (&v)[kCount]) {
  if constexpr (kCount == 1) return v[0];
  if constexpr (kCount == 2) return v[0] + v[1];
  if constexpr (kCount == 4) return (v[0] + v[1]) + (v[2] + v[3]);
}

/// Adds halves until there is one: as sumLanes does.
template <size_t kCount>
Vec addHalves(const Vec (&v)[kCount]) {
  if constexpr (kCount == 1) return v[0];
  if constexpr (kCount == 2) return v[0] + v[1];
  if constexpr (kCount == 4) return (v[0] + v[2]) + (v[1] + v[3]);
}

}  // namespace attention::ISA
