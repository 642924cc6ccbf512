// Where the heads of a call lie once they have been projected, and what attention reads of them.
#pragma once

#include <cstddef>

#include "call.h"
#include "panel.h"

namespace attention::ISA {

/// Projected heads as panels: all of a call, or those from one sample and head on. Beyond the last row are
/// zeros, up to a whole vector, and then whatever memory held.
struct HeadPanels {
  float* data;
  size_t heads, rows, size;
  size_t firstSample = 0, firstHead = 0;

  /// The panel that row `row` belongs to, [size][kPanel].
  float* panel(size_t sample, size_t head, size_t row) const {
    const size_t index = (sample - firstSample) * heads + head - firstHead;
    return data + (index * panelsOf(rows, kPanel) + row / kPanel) * size * kPanel;
  }
};

/// The same as rows, with the members of HeadView that projections need.
struct HeadRows {
  float* data;
  size_t heads, rows, rowStride;
  size_t firstSample, firstHead;

  float* row(size_t sample, size_t head, size_t i) const {
    return data + (((sample - firstSample) * heads + head - firstHead) * rows + i) * rowStride;
  }
};

/// What the attention of one query head reads.
struct HeadOperands {
  /// [L / panel][headSize][panel], not scaled; null where queries are rows.
  const float* queries;
  /// [T / panel][words(headSize)][panel]
  const float* keys;
  /// [words(T)][valueHeadSize]
  const float* values;
  /// [T], 1 where a key or value is not finite; null where all are.
  const int32_t* poison;
  /// Largest |k_c| of panel p: that of the numbers [0, sizesOfPanel) from keySizes + p·keySizeStride.
  const float* keySizes;
  size_t sizesOfPanel, keySizeStride;
};

/// Panels of columns of W that the columns [from, to) fall into.
inline size_t columnPanels(size_t from, size_t to) { return panelsOf(to, kPanel) - from / kPanel; }

/// Those of a call that keeps its heads.
inline HeadOperands keptOperands(const Call& call, size_t batch, size_t head) {
  const size_t kvHead = call.kvHeadOf(head), all = call.allKeys();
  const size_t index = batch * call.kvHeads + kvHead;
  HeadOperands result{};
  if (call.query.kept == Kept::kPanels) {
    const HeadPanels queries{call.query.panels.data, call.heads, call.queries, call.headSize};
    result.queries = queries.panel(batch, head, 0);
  }
  result.keys = call.keyPanels.data + index * panelsOf(all, kPanel) * call.words(call.headSize) * kPanel;
  const bool areInPanels = call.key.kept == Kept::kPanels;
  result.values = areInPanels ? call.value.heads.row(batch, kvHead, 0)
                              : call.valueRows.data + index * call.words(all) * call.valueHeadSize;
  result.poison = call.poison ? call.poison.data + index * all : nullptr;
  result.keySizeStride = call.keySizeColumns(kPanel);
  result.keySizes = call.keySizes.data + batch * panelsOf(all, kPanel) * result.keySizeStride;
  result.keySizes += areInPanels ? kvHead * call.headSize / kPanel : kvHead;
  result.sizesOfPanel = areInPanels ? columnPanels(kvHead * call.headSize, (kvHead + 1) * call.headSize) : 1;
  return result;
}

}  // namespace attention::ISA
