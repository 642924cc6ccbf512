// One vector type for each instruction set, with the few operations that the kernels are written in. A source
// file that includes this is compiled once for each set; ISA names the namespace that its code lands in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AMX_BF16__)
#include <immintrin.h>
#define ISA amx
#elif defined(__AVX512BF16__)
#include <immintrin.h>
#define ISA avx512bf16
#elif defined(__AVX512F__)
#include <immintrin.h>
#define ISA avx512
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define ISA avx2
#elif defined(__aarch64__)
#include <arm_neon.h>
#define ISA neon
#else
#error \
    "No instruction set that the kernels are written for: compile with AVX-512, AVX2 and FMA, or for AArch64."
#endif

namespace attention::ISA {

#if defined(__AVX512F__)

/// 16 lanes; 32 registers hold 14 x 2 accumulators beside the operands.
struct Vec {
  __m512 v;
};
using Mask = __mmask16;
constexpr int kLanes = 16;
constexpr int kMaxRows = 14, kMaxHalfRows = 16;

inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
/// a * b + c, rounded once.
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
/// The larger; b where either is NaN.
inline Vec maximum(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline float maximumOfLanes(Vec a) { return _mm512_reduce_max_ps(a.v); }
/// The first `count` < kLanes numbers, zeros beyond.
inline Vec loadFirst(const float* p, size_t count) {
  return {_mm512_maskz_loadu_ps(static_cast<Mask>((1u << count) - 1), p)};
}
inline Mask less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
/// Where a is not less than b, or one of them is NaN.
inline Mask notLess(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_NLT_UQ); }
/// 0 where not.
inline Vec where(Mask mask, Vec a) { return {_mm512_maskz_mov_ps(mask, a.v)}; }
inline Mask both(Mask a, Mask b) { return a & b; }
inline bool any(Mask m) { return m != 0; }
inline Vec select(Mask m, Vec yes, Vec no) { return {_mm512_mask_blend_ps(m, no.v, yes.v)}; }
/// Lanes 0, 1, 2, ...
inline Vec iota() { return {_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
inline Vec roundToInteger(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// a * 2^n for a whole n from -126 to 127.
inline Vec scaleByPowerOfTwo(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
/// 1 where the byte is not 0.
inline Mask nonZeroBytes(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm512_cmpneq_epi32_mask(_mm512_cvtepu8_epi32(bytes), _mm512_setzero_si512());
}

/// Transposes a 16 x 16 tile: to[c * toStride + r] = from[r * fromStride + c].
inline void transposeTile(const float* from, size_t fromStride, float* to, size_t toStride) {
  __m512 r[16], t[16];
  for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_ps(from + i * fromStride);
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
    r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
    r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
    r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
  }
  for (int i = 0; i < 16; i++) _mm512_storeu_ps(to + i * toStride, r[i]);
}

#elif defined(__AVX2__)

/// 8 lanes; 16 registers hold 6 x 2 accumulators beside the operands.
struct Vec {
  __m256 v;
};
struct Mask {
  __m256 m;
};
constexpr int kLanes = 8;
constexpr int kMaxRows = 6, kMaxHalfRows = 12;

inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
/// a * b + c, rounded once.
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
/// The larger; b where either is NaN.
inline Vec maximum(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline float maximumOfLanes(Vec a) {
  const __m128 half = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 quarter = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)));
}
/// The first `count` < kLanes numbers, zeros beyond.
inline Vec loadFirst(const float* p, size_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes))};
}
inline Mask less(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
/// Where a is not less than b, or one of them is NaN.
inline Mask notLess(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_NLT_UQ)}; }
/// 0 where not.
inline Vec where(Mask mask, Vec a) { return {_mm256_and_ps(mask.m, a.v)}; }
inline Mask both(Mask a, Mask b) { return {_mm256_and_ps(a.m, b.m)}; }
inline bool any(Mask m) { return _mm256_movemask_ps(m.m) != 0; }
inline Vec select(Mask m, Vec yes, Vec no) { return {_mm256_blendv_ps(no.v, yes.v, m.m)}; }
/// Lanes 0, 1, 2, ...
inline Vec iota() { return {_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7)}; }
inline Vec roundToInteger(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// a * 2^n for a whole n from -126 to 127.
inline Vec scaleByPowerOfTwo(Vec a, Vec n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
  return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)))};
}
/// 1 where the byte is not 0.
inline Mask nonZeroBytes(const uint8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  const __m256i zero = _mm256_cmpeq_epi32(_mm256_cvtepu8_epi32(bytes), _mm256_setzero_si256());
  return {_mm256_castsi256_ps(_mm256_xor_si256(zero, _mm256_set1_epi32(-1)))};
}

/// Transposes an 8 x 8 tile: to[c * toStride + r] = from[r * fromStride + c].
inline void transposeTile(const float* from, size_t fromStride, float* to, size_t toStride) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(from + i * fromStride);
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    _mm256_storeu_ps(to + i * toStride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * toStride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

#else

/// 4 lanes; 32 registers hold 8 x 2 accumulators with room to spare.
struct Vec {
  float32x4_t v;
};
struct Mask {
  uint32x4_t m;
};
constexpr int kLanes = 4;
constexpr int kMaxRows = 8, kMaxHalfRows = 16;

inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline void store(float* p, Vec a) { vst1q_f32(p, a.v); }
inline Vec broadcast(float x) { return {vdupq_n_f32(x)}; }
inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
/// a * b + c, rounded once.
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
/// The larger; b where either is NaN.
inline Vec maximum(Vec a, Vec b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
inline Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
inline float maximumOfLanes(Vec a) { return vmaxvq_f32(a.v); }
/// The first `count` < kLanes numbers, zeros beyond.
inline Vec loadFirst(const float* p, size_t count) {
  float lanes[4] = {};
  for (size_t i = 0; i < count; i++) lanes[i] = p[i];
  return {vld1q_f32(lanes)};
}
inline Mask less(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
/// Where a is not less than b, or one of them is NaN.
inline Mask notLess(Vec a, Vec b) { return {vmvnq_u32(vcltq_f32(a.v, b.v))}; }
/// 0 where not.
inline Vec where(Mask mask, Vec a) { return {vbslq_f32(mask.m, a.v, vdupq_n_f32(0))}; }
inline Mask both(Mask a, Mask b) { return {vandq_u32(a.m, b.m)}; }
inline bool any(Mask m) { return vmaxvq_u32(m.m) != 0; }
inline Vec select(Mask m, Vec yes, Vec no) { return {vbslq_f32(m.m, yes.v, no.v)}; }
/// Lanes 0, 1, 2, ...
inline Vec iota() {
  const float lanes[4] = {0, 1, 2, 3};
  return {vld1q_f32(lanes)};
}
inline Vec roundToInteger(Vec a) { return {vrndnq_f32(a.v)}; }
/// a * 2^n for a whole n from -126 to 127.
inline Vec scaleByPowerOfTwo(Vec a, Vec n) {
  const int32x4_t bits = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n.v), vdupq_n_s32(127)), 23);
  return {vmulq_f32(a.v, vreinterpretq_f32_s32(bits))};
}
/// 1 where the byte is not 0.
inline Mask nonZeroBytes(const uint8_t* p) {
  const uint32_t lanes[4] = {p[0], p[1], p[2], p[3]};
  const uint32x4_t v = vld1q_u32(lanes);
  return {vtstq_u32(v, v)};
}

/// Transposes a 4 x 4 tile: to[c * toStride + r] = from[r * fromStride + c].
inline void transposeTile(const float* from, size_t fromStride, float* to, size_t toStride) {
  const float32x4x2_t a = vtrnq_f32(vld1q_f32(from), vld1q_f32(from + fromStride));
  const float32x4x2_t b = vtrnq_f32(vld1q_f32(from + 2 * fromStride), vld1q_f32(from + 3 * fromStride));
  vst1q_f32(to, vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0])));
  vst1q_f32(to + toStride, vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1])));
  vst1q_f32(to + 2 * toStride, vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0])));
  vst1q_f32(to + 3 * toStride, vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1])));
}

#endif

/// Numbers in a line of the caches.
constexpr size_t kLine = 64 / sizeof(float);

/// Asks memory for the line of p, as far as the second-level cache: in the first, it would push out what a
/// product is reading. Inlined at once: a compiler may take a function that only asks for one that does
/// nothing.
[[gnu::always_inline]] inline void askForSecondLevel(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace attention::ISA
