// A panel of queries on its way through the keys, and what is made of its sums in the end.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "call.h"
#include "panel_map.h"
#include "query_panel.h"
#include "scratch.h"

namespace attention::ISA {

/// Takes the sink into the denominator of one row and writes its statistics. Returns what the weighted sum,
/// which stands at exp(logit - top), is to be multiplied by: 0 for an empty row.
inline float finishRow(const Call& call, size_t batch, size_t head, size_t query, float top, float sum) {
  const size_t row = call.rowIndex(batch, head, query);
  double max = top;
  double total = sum;
  float factor = 0;
  if (top == kForbidden && sum == 0) {
    reportEmptyRow(call, row);
  } else {
    double shrink = 1;
    if (call.sinks) {
      const double sink = call.sinks.data[head];
      const double raised = std::max(max, sink);
      shrink = std::exp(max - raised);
      total = total * shrink + std::exp(sink - raised);
      max = raised;
    }
    factor = static_cast<float>(shrink / total);
  }
  call.rowMax.data[row] = max;
  call.rowSum.data[row] = total;
  if (call.logSumExp) {
    const auto logSumExp = static_cast<float>(max + std::log(total));
    call.logSumExp.data[row] = logSumExp;
    if (total != 0 && !std::isfinite(logSumExp)) reportOverflow(call);
  }
  return factor;
}

/// The same for `count` rows from `query` on; factor[lane] for each, 0 in the other lanes of their vectors.
inline void finishRows(const Call& call, size_t batch, size_t head, size_t query, size_t count,
                       const float* top, const float* sum, float* factor) {
  const size_t row = call.rowIndex(batch, head, query);
  // What there is to do for rows that are neither empty nor have a sink, in vectors.
  bool isEmpty = false;
  for (size_t lane = 0; lane < count; lane += kLanes) {
    const Mask isRow = less(iota(), broadcast(static_cast<float>(count - lane)));
    const Vec total = select(isRow, load(sum + lane), broadcast(INFINITY));
    // No other sum is below 1: the largest logit has the weight 1.
    isEmpty |= any(both(isRow, less(total, broadcast(FLT_MIN))));
    store(factor + lane, broadcast(1) / total);
  }
  double *const max = call.rowMax.data + row, *const totals = call.rowSum.data + row;
  for (size_t lane = 0; lane < count; lane++) max[lane] = top[lane];
  for (size_t lane = 0; lane < count; lane++) totals[lane] = sum[lane];
  if (!isEmpty && !call.sinks && !call.logSumExp) return;
  for (size_t lane = 0; lane < count; lane++)
    factor[lane] = finishRow(call, batch, head, query + lane, top[lane], sum[lane]);
}

/// The lane of a query's head among the concatenated heads: word w of it is lane[w·kPanel].
inline float* concatLane(const Call& call, size_t batch, size_t head, size_t query) {
  const size_t token = batch * call.queries + query, rows = call.concatDealt.rows, row = token % rows;
  const size_t panel = token / rows * panelsOf(rows, kPanel) + row / kPanel;
  return call.concat.data + (panel * call.heads + head) * call.words(call.valueHeadSize) * kPanel +
         row % kPanel;
}

/// Copies the lanes of Oᵀ, `size` numbers each, to where those of the queries from `first` on lie.
inline void copyToConcatLanes(const Call& call, size_t batch, size_t head, size_t first, size_t count,
                              const float* o, size_t size) {
  for (size_t lane = 0; lane < count; lane++) {
    float* to = concatLane(call, batch, head, first + lane);
    for (size_t c = 0; c < size; c++) to[c * kPanel] = o[c * kPanel + lane];
  }
}

/// to[c][lane] = o[c][lane]·factor[lane] in the first kVectors vectors of the lanes; returns whether all is
/// finite.
template <int kVectors>
bool scalePanel(const float* o, const float* factor, size_t size, float* to) {
  FiniteProbe probes[2];
  for (size_t c = 0; c < size; c++) {
    for (int v = 0; v < kVectors; v++) {
      const size_t at = c * kPanel + v * kLanes;
      const Vec y = load(o + at) * load(factor + v * kLanes);
      store(to + at, y);
      probes[v].see(y);
    }
  }
  return sumOf(probes) == 0;
}

/// Finishes and writes the rows of one panel.
inline void finishPanel(const Call& call, size_t batch, size_t head, size_t first, size_t count,
                        const float* top, const float* sum, float* o) {
  const size_t size = call.valueHeadSize;
  alignas(64) float factor[kPanel] = {};
  finishRows(call, batch, head, first, count, top, sum, factor);
  // Panels are what the output projection reads: nothing is turned around, and float32 goes where it stays,
  // unless others have lanes there.
  float* concat = call.hasOutputProjection ? concatLane(call, batch, head, first) : nullptr;
  float* to = concat != nullptr && call.operands->arePlain() && !call.sharesConcatPanels() ? concat : o;
  const bool fits =
      vectorsOf(count) == 1 ? scalePanel<1>(o, factor, size, to) : scalePanel<2>(o, factor, size, to);
  if (!fits) reportOverflow(call);
  if (call.sharesConcatPanels()) return copyToConcatLanes(call, batch, head, first, count, o, size);
  if (concat != nullptr) {
    call.operands->packLeft(to, size, kPanel, concat, call.words(size));
    return;
  }
  static thread_local Scratch rowScratch;
  float* rows = rowScratch.take(kPanel * size);
  transpose(o, kPanel, size, kPanel, rows, size);
  for (size_t lane = 0; lane < count; lane++) {
    copyRow(rows + lane * size, size, call.output.row(batch, head, first + lane));
  }
}

/// A panel of queries [first, first + count) on its way through the keys: the running maximum and sum of each
/// lane, and Oᵀ as far as it has come.
class AttendingPanel {
 public:
  /// Memory for Qᵀ and Oᵀ: [rows(headSize)][kPanel], [valueHeadSize][kPanel].
  AttendingPanel(const Call& call, const HeadOperands& reads, size_t batch, size_t head, size_t first,
                 size_t count, float* q, float* o)
      : call(call),
        reads(reads),
        queries(call, reads, batch, head, Lanes(first, count).queries, count),
        map(call, batch, head, first, count),
        vectors(vectorsOf(count)),
        o(o),
        batch_(batch),
        head_(head),
        first_(first),
        count_(count) {
    queries.packQueries(call.scale, q, vectors);
    std::fill_n(top, kPanel, kForbidden);
    std::fill_n(sum, kPanel, 0.0f);
    std::fill_n(o, call.valueHeadSize * kPanel, 0.0f);
  }

  void finish() {
    finishPanel(call, batch_, head_, first_, count_, top, sum, o);
    map.finish();
  }

  const Call& call;
  const HeadOperands& reads;
  QueryPanel queries;
  const PanelMap map;
  /// Vectors of the panel that have queries.
  const size_t vectors;
  alignas(64) float top[kPanel], sum[kPanel];
  float* const o;

 private:
  struct Lanes {
    size_t queries[kPanel];
    Lanes(size_t first, size_t count) {
      for (size_t lane = 0; lane < count; lane++) queries[lane] = first + lane;
    }
  };

  const size_t batch_, head_, first_, count_;
};

}  // namespace attention::ISA
