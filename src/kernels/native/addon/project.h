// The projections of tokens onto heads, and of heads onto the output.
#pragma once

#include <algorithm>
#include <cmath>

#include "call.h"
#include "heads.h"
#include "microkernel.h"
#include "pack.h"
#include "scratch.h"
#include "weight_blocks.h"

namespace attention::ISA {

/// Panels of tokens [first, last), counted over all samples that are dealt.
struct TokenPanels {
  const float* words;
  size_t first, last;
  /// Tokens of each of these samples.
  size_t rows;

  size_t sampleOf(size_t panel) const { return rows <= kPanel ? panel : panel / panelsOf(rows, kPanel); }
  size_t rowOf(size_t panel) const { return rows <= kPanel ? 0 : panel % panelsOf(rows, kPanel) * kPanel; }
  /// Tokens in a panel.
  size_t count(size_t panel) const { return std::min<size_t>(kPanel, rows - rowOf(panel)); }
};

/// Where the rows of a panel of tokens go, one panel of columns wide.
struct Destination {
  float* rows;
  size_t stride;
};

/// Adds b, where there is one, to `count` rows of one panel of columns, and looks at them: returns whether
/// all is finite.
inline bool finishColumns(const Linear& linear, size_t column, const Destination& to, size_t count) {
  alignas(64) float bias[kPanel] = {};
  if (linear.bias) {
    forEachRun(linear, column, std::min(column + kPanel, linear.columns()),
               [&](size_t head, size_t c, size_t at, size_t run) {
                 copyRow(linear.bias.data + linear.biasColumn[head] + c, run, bias + at);
               });
  }
  FiniteProbe probes[2];
  for (size_t i = 0; i < count; i++) {
    for (int half = 0; half < 2; half++) {
      float* at = to.rows + i * to.stride + half * kLanes;
      Vec y = load(at);
      if (linear.bias) store(at, y = y + load(bias + half * kLanes));
      probes[half].see(y);
    }
  }
  return sumOf(probes) == 0;
}

/// Numbers of a weight beyond which it is far away whenever it is read again: a megabyte, half of a
/// second-level cache.
constexpr size_t kFarWeight = size_t{1} << 18;

/// What is read of W, where it is far away, after the block of `depth` rows from k on in the panel of
/// columns w.
inline Upcoming behind(const Linear& linear, const float* w, size_t k, size_t depth) {
  if (linear.rows * linear.columns() < kFarWeight) return {};
  return {w + (k + depth) * kPanel, depth * kPanel};
}

/// y = x·W + b for some panels of tokens and one panel of columns; `to(panel)` is the Destination of each.
/// Returns whether all is finite.
template <typename To>
bool projectColumns(const Operands& operands, const Linear& linear, const TokenPanels& tokens,
                    WeightBlocks& blocks, size_t column, To to) {
  const float* w = linear.packed.data + column * linear.rows;
  const size_t panels = tokens.last - tokens.first;
  for (size_t k = 0; k < linear.rows; k += operands.depth) {
    const size_t depth = std::min(operands.depth, linear.rows - k), words = operands.wordsOfRows(depth);
    const float* block = blocks.take(w + k * kPanel, depth);
    // Behind the last rows of a panel of columns are the first of the next.
    const size_t left = linear.rows - k - depth;
    const size_t nextDepth = std::min(operands.depth, left == 0 ? linear.rows : left);
    Beside beside =
        blocks.packAhead(w + (k + depth) * kPanel, nextDepth, panels * stepsOf(operands, words, kPanel, 2));
    const size_t read = operands.keepWeights() ? k : k + nextDepth;
    for (size_t panel = tokens.first; panel < tokens.last; panel++) {
      const auto [rows, stride] = to(panel);
      const float* x = tokens.words + operands.wordsOfRows(panel * linear.rows + k) * kPanel;
      multiply(operands, x, kPanel, block, kPanel, words, tokens.count(panel), rows, stride,
               k == 0 ? Into::kOverwrite : Into::kAdd, nullptr, 2,
               behind(linear, w, read, depth).part(panel - tokens.first, panels), &beside);
    }
    beside.finish();
  }
  bool finite = true;
  for (size_t panel = tokens.first; panel < tokens.last; panel++)
    finite = finishColumns(linear, column, to(panel), tokens.count(panel)) && finite;
  return finite;
}

/// The same, by way of a panel: for columns of several heads, or fewer than a panel is wide.
template <typename Heads>
bool projectAcrossHeads(const Operands& operands, const Linear& linear, const TokenPanels& tokens,
                        WeightBlocks& blocks, size_t column, const Heads& heads) {
  alignas(64) float result[kMostBlockPanels * kPanel * kPanel];
  const auto inResult = [&](size_t panel) -> Destination {
    return {result + (panel - tokens.first) * kPanel * kPanel, kPanel};
  };
  const bool finite = projectColumns(operands, linear, tokens, blocks, column, inResult);
  const size_t end = std::min(column + kPanel, linear.columns());
  for (size_t panel = tokens.first; panel < tokens.last; panel++) {
    const size_t sample = tokens.sampleOf(panel), row = tokens.rowOf(panel), rows = tokens.count(panel);
    const float* values = inResult(panel).rows;
    forEachRun(linear, column, end, [&](size_t head, size_t c, size_t at, size_t count) {
      float* to = heads.row(sample, head, row) + c;
      for (size_t i = 0; i < rows; i++) copyRow(values + i * kPanel + at, count, to + i * heads.rowStride);
    });
  }
  return finite;
}

/// The same for the one token of a panel, in several panels of columns at a time: what W costs to read is
/// then all that it costs.
template <typename Heads>
bool projectToken(const Operands& operands, const Linear& linear, const TokenPanels& tokens, size_t from,
                  size_t to, const Heads& heads) {
  alignas(64) float result[kRowPanels * kPanel];
  const float* words = tokens.words + tokens.first * linear.rows * kPanel;
  bool finite = true;
  for (size_t column = from; column < to; column += kRowPanels * kPanel) {
    const float* w = linear.packed.data + column * linear.rows;
    const size_t panels = std::min(kRowPanels, panelsOf(to - column, kPanel));
    for (size_t k = 0; k < linear.rows; k += operands.depth) {
      operands.multiplyRow[panels - 1](words + k * kPanel, kPanel, w + k * kPanel, linear.rows * kPanel,
                                       std::min(operands.depth, linear.rows - k), result,
                                       k == 0 ? Into::kOverwrite : Into::kAdd);
    }
    for (size_t i = 0; i < panels; i++)
      finite = finishColumns(linear, column + i * kPanel, {result + i * kPanel, kPanel}, 1) && finite;
    forEachRun(linear, column, std::min(column + panels * kPanel, linear.columns()),
               [&](size_t head, size_t c, size_t at, size_t count) {
                 copyRow(result + at, count,
                         heads.row(tokens.sampleOf(tokens.first), head, tokens.rowOf(tokens.first)) + c);
               });
  }
  return finite;
}

/// Adds b, where there is one, to rows [c, c + count) of a panel of a head, whose tokens are in its first
/// kVectors vectors, leaves zeros in the lanes of these beyond `tokens`, and returns the largest |y|, or NaN
/// where not all is finite.
template <int kVectors>
float finishPanelRows(const Linear& linear, size_t head, size_t c, size_t count, size_t tokens, float* rows) {
  Mask isToken[kVectors];
  Vec largest[kVectors];
  FiniteProbe probes[2];
  for (int v = 0; v < kVectors; v++) {
    isToken[v] = less(iota() + broadcast(v * kLanes), broadcast(static_cast<float>(tokens)));
    largest[v] = broadcast(0);
  }
  for (size_t i = 0; i < count; i++) {
    for (int v = 0; v < kVectors; v++) {
      float* at = rows + i * kPanel + v * kLanes;
      Vec y = load(at);
      if (linear.bias) y = y + broadcast(linear.bias.data[linear.biasColumn[head] + c + i]);
      y = select(isToken[v], y, broadcast(0));
      store(at, y);
      largest[v] = maximum(largest[v], abs(y));
      probes[v].see(y);
    }
  }
  return maximumOfLanes(maximum(largest[0], largest[kVectors - 1])) + sumOf(probes);
}

/// The same as panels of heads, for columns [column, end) of one panel of columns: W and x change their
/// places in the product, and nothing has to be turned around to make scores of y. Each element is the same
/// chain of sums as in a row. The largest |y| of panel p of the tokens goes to sizes[p·sizeStride], where
/// given.
inline bool projectColumnsToPanels(const Operands& operands, const Linear& linear, const TokenPanels& tokens,
                                   size_t column, size_t end, const HeadPanels& heads, float* sizes,
                                   size_t sizeStride) {
  const float* w = linear.packed.data + column / kPanel * kPanel * linear.rows;
  for (size_t k = 0; k < linear.rows; k += operands.depth) {
    const size_t depth = std::min(operands.depth, linear.rows - k);
    for (size_t panel = tokens.first; panel < tokens.last; panel++) {
      const float* x = tokens.words + (panel * linear.rows + k) * kPanel;
      const Upcoming upcoming =
          behind(linear, w, k, depth).part(panel - tokens.first, tokens.last - tokens.first);
      const size_t sample = tokens.sampleOf(panel), row = tokens.rowOf(panel);
      const size_t vectors = vectorsOf(tokens.count(panel));
      forEachRun(linear, column, end, [&](size_t head, size_t c, size_t at, size_t count) {
        multiply(operands, w + k * kPanel + column % kPanel + at, kPanel, x, kPanel, depth, count,
                 heads.panel(sample, head, row) + c * kPanel, kPanel, k == 0 ? Into::kOverwrite : Into::kAdd,
                 nullptr, vectors, upcoming);
      });
    }
  }
  bool finite = true;
  for (size_t panel = tokens.first; panel < tokens.last; panel++) {
    const size_t sample = tokens.sampleOf(panel), row = tokens.rowOf(panel), there = tokens.count(panel);
    const auto finishRows = vectorsOf(there) == 1 ? finishPanelRows<1> : finishPanelRows<2>;
    float size = 0;
    forEachRun(linear, column, end, [&](size_t head, size_t c, size_t, size_t count) {
      float* rows = heads.panel(sample, head, row) + c * kPanel;
      const float run = finishRows(linear, head, c, count, there, rows);
      finite = finite && run < INFINITY;
      size = std::max(size, run);
    });
    if (sizes != nullptr) sizes[(panel - tokens.first) * sizeStride] = size;
  }
  return finite;
}

/// A block of panels of tokens, which stay in the second-level cache while they are projected.
/// It may hold tokens of several samples: a projection does not care, and W is read once for all of them.
inline TokenPanels blockOf(const Call& call, const Span<float>& panels, const PanelRows& dealt,
                           size_t block) {
  const size_t most = call.operands->blockPanels, first = block * most;
  return {panels.data, first, std::min(first + most, dealt.panels(kPanel)), dealt.rows};
}

/// Projects tokens onto the columns [from, to), as rows of `heads`; `from` begins a panel of columns.
template <typename Heads>
void projectToRows(const Call& call, const Linear& linear, const TokenPanels& tokens, const Heads& heads,
                   size_t from, size_t to) {
  const Operands& operands = *call.operands;
  const size_t first = tokens.first;
  bool finite = true;
  if (operands.keepWeights() && tokens.last - first == 1 && tokens.count(first) == 1) {
    finite = projectToken(operands, linear, tokens, from, to, heads);
  } else {
    WeightBlocks blocks(operands, linear, to);
    for (size_t column = from; column < to; column += kPanel) {
      const size_t head = column / linear.headSize, c = column % linear.headSize;
      const auto inPlace = [&](size_t panel) -> Destination {
        return {heads.row(tokens.sampleOf(panel), head, tokens.rowOf(panel)) + c, heads.rowStride};
      };
      finite = (c + kPanel <= linear.headSize
                    ? projectColumns(operands, linear, tokens, blocks, column, inPlace)
                    : projectAcrossHeads(operands, linear, tokens, blocks, column, heads)) &&
               finite;
    }
  }
  if (!finite) reportOverflow(call);
}

/// Projects tokens onto the columns [from, to), as panels of `heads`. The largest |y| of panel p of the
/// tokens in panel c of the columns goes to sizes[p·sizeStride + c], where given, both counted from the
/// first.
inline void projectToPanels(const Call& call, const Linear& linear, const TokenPanels& tokens,
                            const HeadPanels& heads, size_t from, size_t to, float* sizes = nullptr,
                            size_t sizeStride = 0) {
  bool finite = true;
  for (size_t column = from; column < to;) {
    const size_t end = std::min(to, (column / kPanel + 1) * kPanel);
    finite = projectColumnsToPanels(*call.operands, linear, tokens, column, end, heads, sizes, sizeStride) &&
             finite;
    if (sizes != nullptr) sizes++;
    column = end;
  }
  if (!finite) reportOverflow(call);
}

/// Q = X·W_Q + b_Q (likewise K, V) for a block of tokens and the columns [from, to), in the form in which
/// heads are kept; the largest numbers of panels go to keySizes, where given.
inline void projectHeads(const Call& call, const Source& source, size_t block, size_t from, size_t to,
                         const Span<float>& keySizes = {}) {
  const TokenPanels tokens = blockOf(call, source.tokens.panels, source.tokens.dealt, block);
  if (source.kept == Kept::kRows) return projectToRows(call, source.linear, tokens, source.heads, from, to);
  const Linear& linear = source.linear;
  const HeadPanels heads{source.panels.data, linear.headColumn.size(), source.tokens.dealt.rows,
                         linear.headSize};
  const size_t columns = panelsOf(linear.columns(), kPanel);
  float* sizes = keySizes ? keySizes.data + tokens.first * columns + from / kPanel : nullptr;
  projectToPanels(call, linear, tokens, heads, from, to, sizes, columns);
}

/// output = Concat(head_1 … head_H)·W_O + b_O for a block of tokens and the columns [from, to).
inline void projectOutputColumns(const Call& call, size_t block, size_t from, size_t to) {
  const TokenPanels tokens = blockOf(call, call.concat, call.concatDealt, block);
  projectToRows(call, call.outputProjection, tokens, call.output, from, to);
}

}  // namespace attention::ISA
