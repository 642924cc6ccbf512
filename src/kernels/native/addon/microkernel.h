// The one inner loop that all products are made of.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "bfloat16_chains.h"
#include "operands.h"
#include "panel.h"

namespace attention::ISA {

/// Operands in float32: a word is one number, and a sum is one chain.
struct Float32 {
  struct Mode {};
  static constexpr size_t kPerWord = 1;
  static constexpr int kChains = 1;
  static constexpr size_t kStep = 1;
  static constexpr int kRows = kMaxRows, kHalfRows = kMaxHalfRows;
  static Vec part(Vec word, int) { return word; }
  static Vec multiplyAdd(Vec a, Vec b, Vec c) { return fma(a, b, c); }
  static void pack(const float* rows, size_t count, size_t columns, float* words, size_t) {
    if (words != rows) std::copy_n(rows, count * columns, words);
  }
};

/// Operands in bfloat16: a word is two neighbours along the sum, and each group of words is two chains.
/// These and the sum of each element are in registers at the same time, so there are fewer rows.
struct Bfloat16 {
  using Mode = FlushToZero;
  static constexpr size_t kPerWord = 2;
  static constexpr int kChains = 2;
  static constexpr size_t kStep = kChainStep;
  static constexpr int kRows = kMaxRows < 8 ? 2 : 4, kHalfRows = 2 * kRows;
  static Vec part(Vec word, int chain) { return chainPart(word, chain); }
  static Vec multiplyAdd(Vec a, Vec b, Vec c) { return multiplyAddPart(a, b, c); }
  static Vec add(Vec a, Vec b) { return addFlushed(a, b); }
  static void pack(const float* rows, size_t count, size_t columns, float* words, size_t wordRows) {
    packPairs(rows, count, columns, words, wordRows);
  }
};

template <int kRows, int kVectors>
using Sums = Vec[kRows][kVectors];

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void clear(Sums<kRows, kVectors>& sums) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) sums[i][v] = broadcast(0);
  }
}

/// Asks for what is upcoming, so many lines for each word. Inlined at once, as askForSecondLevel.
template <int kLines>
struct Asks {
  const float* upcoming;
  size_t stride;
  [[gnu::always_inline]] void operator()(size_t word) const {
    for (int line = 0; line < kLines; line++) askForSecondLevel(upcoming + word * stride + line * kLine);
  }
};

/// Adds the products of `count` words to the chains of each element. `left` gives the address of word k of
/// row i of A, `right` that of word k of vector v of B.
template <typename Operand, int kRows, int kVectors, typename Left, typename Right, typename Ask>
[[gnu::always_inline]] inline void addWords(size_t first, size_t count, Left left, Right right, Ask ask,
                                            Sums<kRows, kVectors> (&chains)[Operand::kChains]) {
  // Every chain takes every word or, where the words are shared out, its own.
  constexpr bool kTakesAll = Operand::kStep == 1;
  // A short sum is a loop of few turns, whose end a processor foresees.
#pragma GCC unroll 4
  for (size_t k = 0; k < count; k += Operand::kStep) {
#pragma GCC unroll 2
    for (int chain = 0; chain < Operand::kChains; chain++) {
      const size_t word = first + (kTakesAll ? k : k + chain);
      if (chain == 0 || !kTakesAll) ask(word);
      Vec row[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) row[v] = Operand::part(load(right(word, v)), chain);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; i++) {
        const Vec x = Operand::part(broadcast(*left(word, i)), chain);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++)
          chains[chain][i][v] = Operand::multiplyAdd(x, row[v], chains[chain][i][v]);
      }
    }
  }
}

/// The sum of the products of `depth` words for each element: in float32 one chain of fused multiply-adds
/// over k in ascending order, whatever the block it falls into; in bfloat16 two chains for each group.
template <typename Operand, int kRows, int kVectors, typename Left, typename Right, typename Ask>
[[gnu::always_inline]] inline void sumWords(size_t depth, Left left, Right right, Ask ask,
                                            Sums<kRows, kVectors> (&sum)[1]) {
  [[maybe_unused]] const typename Operand::Mode mode;
  clear<kRows, kVectors>(sum[0]);
  if constexpr (Operand::kChains == 1) {
    addWords<Operand, kRows, kVectors>(0, depth, left, right, ask, sum);
  } else {
    for (size_t group = 0; group < depth; group += kGroupWords) {
      Sums<kRows, kVectors> chains[2];
      for (auto& chain : chains) clear<kRows, kVectors>(chain);
      addWords<Operand, kRows, kVectors>(group, kGroupWords, left, right, ask, chains);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; i++) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++)
          sum[0][i][v] = Operand::add(sum[0][i][v], Operand::add(chains[0][i][v], chains[1][i][v]));
      }
    }
  }
}

/// C[i][lane] = Σ_k a[k·aStride + i]·b[k·bStride + lane], i < kRows, lane < kVectors·kLanes. A row of B is
/// two vectors, or the first of them; an element of A is broadcast, and the kRows x kVectors accumulators
/// stay in registers. The sum begins at zero and is added to C as a whole: many small terms do not drown one
/// by one in a large C. Each step asks for kAsks lines of what is read next: many at a time would keep the
/// loads of the product waiting.
template <typename Operand, int kAsks, int kVectors, int kRows>
void multiplyRows(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth, float* c,
                  size_t cStride, Into into, const float* scale, const float* upcoming, size_t upcomingStride,
                  Beside*) {
  Sums<kRows, kVectors> sum[1];
  sumWords<Operand, kRows, kVectors>(
      depth, [&](size_t k, int i) { return a + k * aStride + i; },
      [&](size_t k, int v) { return b + k * bStride + v * kLanes; }, Asks<kAsks>{upcoming, upcomingStride},
      sum);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) {
    for (int v = 0; v < kVectors; v++) {
      float* to = c + i * cStride + v * kLanes;
      Vec& y = sum[0][i][v];
      if (into == Into::kAdd) y = load(to) + y;
      if (into == Into::kRescale) y = fma(load(to), load(scale + v * kLanes), y);
      store(to, y);
    }
  }
}

/// One row of C in the columns of kPanels panels of B, which lie panelStride apart: c[panel·kPanel + lane].
/// Every element is the same sum as in multiplyRows; a single row of it has but two vectors in each panel,
/// whose chains wait for themselves for half of the time.
template <typename Operand, int kPanels>
void multiplyRow(const float* a, size_t aStride, const float* b, size_t panelStride, size_t depth, float* c,
                 Into into) {
  constexpr int kVectors = 2 * kPanels;
  Sums<1, kVectors> sum[1];
  sumWords<Operand, 1, kVectors>(
      depth, [&](size_t k, int) { return a + k * aStride; },
      [&](size_t k, int v) { return b + v / 2 * panelStride + k * kPanel + v % 2 * kLanes; },
      Asks<0>{nullptr, 0}, sum);
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) {
    float* to = c + v * kLanes;
    store(to, into == Into::kAdd ? load(to) + sum[0][0][v] : sum[0][0][v]);
  }
}

/// A block of a weight and one of a panel of tokens, kDepth x kPanel each, stay in the first-level cache
/// together.
constexpr size_t kDepth = 128;
constexpr size_t kBlockPanels = 4;

template <typename Operand, size_t... kRows, size_t... kHalfRows>
constexpr Operands operandsOf(std::index_sequence<kRows...>, std::index_sequence<kHalfRows...>) {
  Operands result;
  result.perWord = Operand::kPerWord;
  result.pack = result.packLeft = &Operand::pack;
  result.depth = kDepth;
  result.blockPanels = kBlockPanels;
  result.mostRows = {Operand::kHalfRows, Operand::kRows};
  result.multiply[0][0] = {&multiplyRows<Operand, 0, 1, static_cast<int>(kHalfRows) + 1>...};
  result.multiply[0][1] = {&multiplyRows<Operand, 0, 2, static_cast<int>(kRows) + 1>...};
  result.multiply[1][0] = {&multiplyRows<Operand, 1, 1, static_cast<int>(kHalfRows) + 1>...};
  result.multiply[1][1] = {&multiplyRows<Operand, 1, 2, static_cast<int>(kRows) + 1>...};
  result.multiply[2][0] = {&multiplyRows<Operand, 2, 1, static_cast<int>(kHalfRows) + 1>...};
  result.multiply[2][1] = {&multiplyRows<Operand, 2, 2, static_cast<int>(kRows) + 1>...};
  result.multiplyRow = {&multiplyRow<Operand, 1>, &multiplyRow<Operand, 2>, &multiplyRow<Operand, 3>,
                        &multiplyRow<Operand, 4>};
  return result;
}

static_assert(kMaxRows <= kMostRows && kMaxHalfRows <= kMostRows);

/// The products of one kind of operands.
template <typename Operand>
constexpr Operands kOperands = operandsOf<Operand>(std::make_index_sequence<Operand::kRows>(),
                                                   std::make_index_sequence<Operand::kHalfRows>());

/// Vectors of a panel that hold its first `lanes`: what the products of a panel need not go beyond.
inline size_t vectorsOf(size_t lanes) { return lanes <= kLanes ? 1 : 2; }

/// Steps of Beside of products with so many rows.
inline size_t stepsOf(const Operands& operands, size_t depth, size_t rows, size_t vectors) {
  const size_t most = operands.mostRows[vectors - 1];
  return (rows + most - 1) / most * (operands.takesTiles ? operands.steps(depth) : 1);
}

/// The same for any number of rows, cut into pieces of about equal height or, where a piece is tiles, into
/// whole ones and what is left. What is upcoming is asked for evenly over all steps, but no more than a line
/// in each, or two where few rows leave few steps. What is beside takes a step before each piece, unless
/// tiles take its steps themselves.
inline void multiply(const Operands& operands, const float* a, size_t aStride, const float* b, size_t bStride,
                     size_t depth, size_t rows, float* c, size_t cStride, Into into,
                     const float* scale = nullptr, size_t vectors = 2, Upcoming upcoming = {},
                     Beside* beside = nullptr) {
  const size_t most = operands.mostRows[vectors - 1];
  // Of small layers most products are one piece: nothing is divided for them, and little for others.
  const auto pieces = static_cast<uint32_t>(rows <= most ? rows > 0 : (rows + most - 1) / most);
  size_t lines = 0, stride = 0;
  if (upcoming.count > 0) {
    lines = operands.multiply[2][0][0] == nullptr || upcoming.count <= pieces * depth * kLine ? 1 : 2;
    stride = std::min(lines * kLine, upcoming.count / std::max<size_t>(1, pieces * depth) + 1);
  }
  const auto& multiplyRows = operands.multiply[lines][vectors - 1];
  const bool areEven = pieces > 1 && !operands.takesTiles;
  const size_t least = areEven ? static_cast<uint32_t>(rows) / pieces : most;
  size_t higher = areEven ? rows - least * pieces : 0;
  for (size_t row = 0; row < rows;) {
    const size_t height = std::min(rows - row, least + (higher > 0 ? 1 : 0));
    if (higher > 0) higher--;
    if (beside != nullptr && !operands.takesTiles) beside->step();
    multiplyRows[height - 1](a + row * operands.leftStride, aStride, b, bStride, depth, c + row * cStride,
                             cStride, into, scale, upcoming.data, stride, beside);
    upcoming.data += depth * stride;
    row += height;
  }
}

/// Whether all numbers are finite as operands: bfloat16 rounds the last ones of float32 to infinity.
inline bool fitsOperands(const Operands& operands, const float* x, size_t count) {
  const float limit = operands.areRounded() ? kBfloat16Limit : INFINITY;
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
