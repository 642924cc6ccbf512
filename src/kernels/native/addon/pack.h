// Packing of tokens and weights into panels.
#pragma once

#include <algorithm>

#include "call.h"
#include "microkernel.h"
#include "scratch.h"

namespace attention::ISA {

inline bool isFinite(const float* x, size_t count) {
  FiniteProbe probe;
  const size_t whole = count - count % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) probe.see(load(x + i));
  float sum = sumOf(probe);
  for (size_t i = whole; i < count; i++) sum += x[i] * 0;
  return sum == 0;
}

/// Where `rows` of float32, kPanel wide, are put together that become words of a panel: in place, where the
/// words are float32 themselves.
inline float* beforePacking(const Operands& operands, Scratch& scratch, size_t rows, float* words) {
  return operands.arePlain() ? words : scratch.take(rows * kPanel);
}

/// Tokens [from, to) of a sample of those that are dealt as panels: Xᵀ, kPanel tokens side by side, zeros
/// where there is no token.
inline void packTokens(const Call& call, const Tokens& tokens, size_t sample, size_t from, size_t to) {
  static thread_local Scratch scratch;
  const size_t all = tokens.dealt.rows, panels = panelsOf(all, kPanel);
  for (size_t row = from; row < to; row += kPanel) {
    float* words = tokens.panels.data + (sample * panels + row / kPanel) * call.words(tokens.width) * kPanel;
    float* panel = beforePacking(*call.operands, scratch, tokens.width, words);
    const size_t rows = std::min<size_t>(kPanel, all - row);
    const float* x = tokens.data.data + (sample * all + row) * tokens.width;
    // Products in float32 leave a vector alone that has no token.
    const bool isRead = !call.operands->arePlain() || rows % kLanes != 0;
    if (rows < kPanel && isRead) std::fill_n(panel, tokens.width * kPanel, 0.0f);
    transpose(x, tokens.width, rows, tokens.width, panel, kPanel);
    call.operands->packLeft(panel, tokens.width, kPanel, words, call.words(tokens.width));
  }
}

/// Rows of W ahead of the one that is copied which are asked for: those of a panel of columns lie apart,
/// where a processor that reads on by itself does not expect them.
constexpr size_t kRowsAhead = 16;

/// Calls `run(head, c, at, count)` for each run of the columns [first, last) that lie side by side in W, up
/// to the end of a head: `count` columns from column c of the head, the first of them number `at` of these.
template <typename Run>
void forEachRun(const Linear& linear, size_t first, size_t last, Run run) {
  size_t head = first / linear.headSize;
  size_t c = first % linear.headSize;
  for (size_t column = first; column < last; head++, c = 0) {
    const size_t count = std::min(last - column, linear.headSize - c);
    run(head, c, column - first, count);
    column += count;
  }
}

/// Rows [k, k + depth) of W and the columns from `first`, in the order of the heads, side by side; zeros
/// beyond the last column.
inline void gatherColumns(const Linear& linear, size_t k, size_t depth, size_t first, float* panel) {
  const size_t last = std::min(first + kPanel, linear.columns());
  if (last - first < kPanel) std::fill_n(panel, depth * kPanel, 0.0f);
  forEachRun(linear, first, last, [&](size_t head, size_t c, size_t at, size_t count) {
    const float* w =
        linear.weight.data + k * linear.inStride + (linear.headColumn[head] + c) * linear.outStride;
    if (linear.outStride == 1) {
      for (size_t i = 0; i < depth; i++) {
        for (size_t a = 0; a < count; a += kLine)
          askForSecondLevel(w + (i + kRowsAhead) * linear.inStride + a);
        copyRow(w + i * linear.inStride, count, panel + i * kPanel + at);
      }
    } else {
      transpose(w, linear.outStride, count, depth, panel + at, kPanel);
    }
  });
}

/// Columns [from, to) of W, in the order of the heads, as panels: kPanel columns side by side, zeros beyond
/// the last; as words or, where these are made whenever they are read, as float32.
inline void packWeight(const Call& call, const Linear& linear, size_t from, size_t to) {
  static thread_local Scratch scratch;
  for (size_t first = from; first < to; first += kPanel) {
    float* words = linear.packed.data + first * linear.rows;
    const size_t rows = call.weightRows(linear.groupWidth);
    for (size_t k = 0; k < linear.inWidth; k += linear.groupWidth, words += rows * kPanel) {
      if (!call.operands->keepWeights()) {
        gatherColumns(linear, k, linear.groupWidth, first, words);
        std::fill_n(words + linear.groupWidth * kPanel, (rows - linear.groupWidth) * kPanel, 0.0f);
        continue;
      }
      float* panel = beforePacking(*call.operands, scratch, linear.groupWidth, words);
      gatherColumns(linear, k, linear.groupWidth, first, panel);
      call.operands->pack(panel, linear.groupWidth, kPanel, words, rows);
    }
  }
}

}  // namespace attention::ISA
