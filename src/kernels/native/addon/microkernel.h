// The one inner loop that all products are made of.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "bfloat16.h"
#include "operands.h"
#include "panel.h"

namespace attention::ISA {

/// Operands in float32: a word is one number.
struct Float32 {
  struct Mode {};
  static Vec multiplyAdd(Vec a, Vec b, Vec c) { return fma(a, b, c); }
  static constexpr size_t kPerWord = 1;
  static void pack(const float* rows, size_t count, size_t columns, float* words) {
    if (words != rows) std::copy_n(rows, count * columns, words);
  }
};

/// Operands in bfloat16: a word is two neighbours along the sum.
struct Bfloat16 {
  using Mode = FlushToZero;
  static Vec multiplyAdd(Vec a, Vec b, Vec c) { return multiplyAddPairs(a, b, c); }
  static constexpr size_t kPerWord = 2;
  static void pack(const float* rows, size_t count, size_t columns, float* words) {
    packPairs(rows, count, columns, words);
  }
};

/// C[i][lane] = Σ_k a[k·aStride + i]·b[k·bStride + lane], i < kRows, lane < kPanel. A row of B is two
/// vectors, an element of A is broadcast, and the kRows x 2 accumulators stay in registers. Each element is
/// one chain of fused multiply-adds over k in ascending order, whatever the block it falls into. The chain
/// begins at zero and is added to C as a whole: many small terms do not drown one by one in a large C.
template <typename Operand, int kRows>
void multiplyRows(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth, float* c,
                  size_t cStride, Into into, const float* scale) {
  Vec sum[kRows][2];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) sum[i][0] = sum[i][1] = broadcast(0);
  {
    [[maybe_unused]] const typename Operand::Mode mode;
    for (size_t k = 0; k < depth; k++) {
      const Vec b0 = load(b + k * bStride);
      const Vec b1 = load(b + k * bStride + kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; i++) {
        const Vec x = broadcast(a[k * aStride + i]);
        sum[i][0] = Operand::multiplyAdd(x, b0, sum[i][0]);
        sum[i][1] = Operand::multiplyAdd(x, b1, sum[i][1]);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) {
    for (int half = 0; half < 2; half++) {
      float* to = c + i * cStride + half * kLanes;
      if (into == Into::kAdd) sum[i][half] = load(to) + sum[i][half];
      if (into == Into::kRescale) sum[i][half] = fma(load(to), load(scale + half * kLanes), sum[i][half]);
      store(to, sum[i][half]);
    }
  }
}

/// One row of C in the columns of kPanels panels of B, which lie panelStride apart: c[panel·kPanel + lane].
/// Every element is the same chain as in multiplyRows; a single row of it has but two chains for each panel,
/// which wait for themselves for half of the time.
template <typename Operand, int kPanels>
void multiplyRow(const float* a, size_t aStride, const float* b, size_t panelStride, size_t depth, float* c,
                 Into into) {
  constexpr int kVectors = 2 * kPanels;
  Vec sum[kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; i++) sum[i] = broadcast(0);
  {
    [[maybe_unused]] const typename Operand::Mode mode;
    for (size_t k = 0; k < depth; k++) {
      const Vec x = broadcast(a[k * aStride]);
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; i++) {
        const float* at = b + i / 2 * panelStride + k * kPanel + i % 2 * kLanes;
        sum[i] = Operand::multiplyAdd(x, load(at), sum[i]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; i++) {
    float* to = c + i * kLanes;
    store(to, into == Into::kAdd ? load(to) + sum[i] : sum[i]);
  }
}

template <typename Operand, size_t... kRows>
constexpr Operands operandsOf(std::index_sequence<kRows...>) {
  return {Operand::kPerWord,
          &Operand::pack,
          {&multiplyRows<Operand, static_cast<int>(kRows) + 1>...},
          {&multiplyRow<Operand, 1>, &multiplyRow<Operand, 2>, &multiplyRow<Operand, 3>,
           &multiplyRow<Operand, 4>}};
}

/// The products of one kind of operands.
template <typename Operand>
constexpr Operands kOperands = operandsOf<Operand>(std::make_index_sequence<kMaxRows>());

/// The same for any number of rows, cut into pieces of about equal height.
inline void multiply(const Operands& operands, const float* a, size_t aStride, const float* b, size_t bStride,
                     size_t depth, size_t rows, float* c, size_t cStride, Into into,
                     const float* scale = nullptr) {
  const size_t pieces = (rows + kMaxRows - 1) / kMaxRows;
  size_t row = 0;
  for (size_t piece = 0; piece < pieces; piece++) {
    const size_t end = rows * (piece + 1) / pieces;
    operands.multiply[end - row - 1](a + row, aStride, b, bStride, depth, c + row * cStride, cStride, into,
                                     scale);
    row = end;
  }
}

/// Whether all numbers are finite as operands: bfloat16 rounds the last ones of float32 to infinity.
inline bool fitsOperands(const Operands& operands, const float* x, size_t count) {
  const float limit = operands.perWord == 1 ? INFINITY : kBfloat16Limit;
  Vec outside = broadcast(0);
  const size_t whole = count - count % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    outside = select(less(abs(load(x + i)), broadcast(limit)), outside, broadcast(1));
  }
  bool all = !any(less(broadcast(0), outside));
  for (size_t i = whole; i < count; i++) all = all && std::fabs(x[i]) < limit;
  return all;
}

}  // namespace attention::ISA
