// float32 as three numbers in bfloat16, for tiles.
//
// A float32 x is the sum of three numbers in bfloat16: high, x rounded, middle, what is left of it rounded,
// and low, what is left then. The product of two float32 is made of six products of them; the three that are
// left out, middle·low, low·middle and low·low, are below 2^-24 of it, which is what one rounding of float32
// may be off by. Sums are those of float32 in another order, with fewer roundings than a chain has; but what
// is below 2^-126 on the way is 0 (see ARCHITECTURE.md). After Henry, Tang and Heinecke, "Leveraging the
// bfloat16 artificial intelligence datatype for higher-precision computations", arXiv 1904.06376.
#pragma once

#include "bfloat16.h"
#include "elementary.h"
#include "panel.h"

namespace attention::amx {

constexpr float kLargestBfloat16 = 0x1.fep127f;

/// Numbers that would be rounded to infinity cut to the largest that bfloat16 has; what is left of an
/// infinity, or of a NaN, is not finite either.
inline Vec cutLarge(Vec x) {
  constexpr int kSmallerSizeSignOfFirst = 0b0010;
  return {_mm512_range_ps(x.v, broadcast(kLargestBfloat16).v, kSmallerSizeSignOfFirst)};
}

/// The operands of float32: kParts numbers in bfloat16 for each number.
struct Float32 {
  static constexpr size_t kParts = 3;
  /// What is read beside so many products may come from the second-level cache, where so many panels of
  /// tokens fit in. A sum that is longer is rounded more often while it is large: 384 has six tenths of the
  /// error of a chain of multiply-adds, 768 nine tenths; but each sum has to be fetched and put back.
  static constexpr size_t kDepth = 768;
  static constexpr size_t kBlockPanels = 4;

  /// See Pack. Of each group, kGroupWords rows of words for the high parts, as many for the middle ones and
  /// for the low ones.
  static void pack(const float* rows, size_t count, size_t columns, float* words, size_t wordRows) {
    const size_t whole = columns - columns % kLanes;
    const size_t partStride = kGroupWords * columns;
    for (size_t first = 0; first < wordRows / kParts * 2; first += 2) {
      float* to = words + (first / kGroup * kParts * kGroupWords + first % kGroup / 2) * columns;
      const float* row = rows + first * columns;
      const size_t there = first < count ? count - first : 0;
      for (size_t c = 0; c < whole; c += kLanes) {
        const Vec lower = there > 0 ? load(row + c) : broadcast(0);
        const Vec upper = there > 1 ? load(row + columns + c) : broadcast(0);
        storeParts(lower, upper, to + c, partStride);
      }
      if (whole == columns) continue;
      const size_t left = columns - whole;
      const Vec lower = there > 0 ? loadFirst(row + whole, left) : broadcast(0);
      const Vec upper = there > 1 ? loadFirst(row + columns + whole, left) : broadcast(0);
      const Parts parts = partsOf(lower, upper);
      for (size_t p = 0; p < kParts; p++) {
        _mm512_mask_storeu_ps(to + p * partStride + whole, static_cast<Mask>((1u << left) - 1),
                              parts.words[p].v);
      }
    }
  }

  /// The words of two numbers of each lane, one for each part.
  [[gnu::always_inline]] static inline void storeParts(Vec lower, Vec upper, float* words,
                                                       size_t partStride) {
    const Parts parts = partsOf(lower, upper);
    for (size_t p = 0; p < kParts; p++) store(words + p * partStride, parts.words[p]);
  }

  /// See PairWork.
  static void packPair(const float* rows, float* words) {
    storeParts(load(rows), load(rows + kPanel), words, kGroupWords * kPanel);
  }
  static void weighPair(const float* s, size_t keys, const float* base, float* total, float* words) {
    const Vec from = load(base);
    const auto weightOf = [&](size_t key) { return exp(load(s + key * kPanel) - from); };
    const Vec lower = keys > 0 ? weightOf(0) : broadcast(0), upper = keys > 1 ? weightOf(1) : broadcast(0);
    store(total, load(total) + lower + upper);
    storeParts(lower, upper, words, kGroupWords * kPanel);
  }

  /// Its products are many enough for what is done beside them.
  static constexpr PairWork kBeside = {&packPair, &weighPair};

 private:
  struct Parts {
    Vec words[kParts];
  };

  /// Rounding here takes a fraction of the time that vcvtne2ps2bf16 and turning its result take, which wait
  /// for the tiles. What is left of middle has as many bits as bfloat16.
  static Parts partsOf(Vec lower, Vec upper) {
    const Vec high[] = {rounded(cutLarge(lower)), rounded(cutLarge(upper))};
    const Vec left[] = {lower - high[0], upper - high[1]};
    const Vec middle[] = {rounded(left[0]), rounded(left[1])};
    return {{joinUpperHalves(high[0], high[1]), joinUpperHalves(middle[0], middle[1]),
             joinUpperHalves(left[0] - middle[0], left[1] - middle[1])}};
  }

  /// x rounded to bfloat16, ties away from zero.
  static Vec rounded(Vec x) {
    const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x8000));
    return upperOf({_mm512_castsi512_ps(bits)});
  }
};

}  // namespace attention::amx
