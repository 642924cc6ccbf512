// Attention of panels of queries: scores, online softmax and weighted sum by blocks of keys.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "call.h"
#include "elementary.h"
#include "microkernel.h"
#include "project.h"
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

/// The same for `count` rows from `query` on; factor[lane] for each.
inline void finishRows(const Call& call, size_t batch, size_t head, size_t query, size_t count,
                       const float* top, const float* sum, float* factor) {
  const size_t row = call.rowIndex(batch, head, query);
  // What there is to do for rows that are neither empty nor have a sink, in vectors.
  bool isEmpty = false;
  for (size_t lane = 0; lane < count; lane++) {
    isEmpty |= sum[lane] == 0;
    call.rowMax.data[row + lane] = top[lane];
    call.rowSum.data[row + lane] = sum[lane];
    factor[lane] = static_cast<float>(1 / static_cast<double>(sum[lane]));
  }
  if (!isEmpty && !call.sinks && !call.logSumExp) return;
  for (size_t lane = 0; lane < count; lane++)
    factor[lane] = finishRow(call, batch, head, query + lane, top[lane], sum[lane]);
}

/// Where the panel of a query's head lies among the concatenated heads, [words(valueHeadSize)][kPanel].
inline float* concatPanel(const Call& call, size_t batch, size_t head, size_t query) {
  const size_t panel = batch * panelsOf(call.queries, kPanel) + query / kPanel;
  return call.concat.data + (panel * call.heads + head) * call.words(call.valueHeadSize) * kPanel;
}

/// Finishes and writes the rows of one panel.
inline void finishPanel(const Call& call, size_t batch, size_t head, size_t first, size_t count,
                        const float* top, const float* sum, float* o) {
  const size_t size = call.valueHeadSize;
  alignas(64) float factor[kPanel] = {};
  finishRows(call, batch, head, first, count, top, sum, factor);
  // Panels are what the output projection reads: nothing is turned around, and float32 goes where it stays.
  float* concat = call.hasOutputProjection ? concatPanel(call, batch, head, first) : nullptr;
  float* to = concat != nullptr && call.operands->arePlain() ? concat : o;
  FiniteProbe probes[2];
  for (size_t c = 0; c < size; c++) {
    for (int half = 0; half < 2; half++) {
      const size_t at = c * kPanel + half * kLanes;
      const Vec y = load(o + at) * load(factor + half * kLanes);
      store(to + at, y);
      probes[half].see(y);
    }
  }
  if (sumOf(probes) != 0) reportOverflow(call);
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

/// One block of the online softmax (FlashAttention, arXiv 2205.14135, algorithm 1): takes the logits
/// s[keys][lane] into the running maximum and sum of each lane, leaves exp(s - maximum) in their place and
/// the factor by which what was summed before has to shrink. Lanes are queries, so nothing ever crosses
/// lanes; a panel has kVectors of them.
template <int kVectors>
void softmaxBlock(float* s, size_t keys, float* top, float* sum, float* shrink) {
  // A chain of maxima for every other key of each vector of lanes: one would wait for itself.
  Vec even[kVectors], odd[kVectors];
  for (int v = 0; v < kVectors; v++) even[v] = odd[v] = load(top + v * kLanes);
  size_t pair = 0;
  for (; pair + 2 <= keys; pair += 2) {
    const float* row = s + pair * kPanel;
    for (int v = 0; v < kVectors; v++) {
      even[v] = maximum(even[v], load(row + v * kLanes));
      odd[v] = maximum(odd[v], load(row + kPanel + v * kLanes));
    }
  }
  for (int v = 0; v < kVectors; v++) {
    const size_t lane = v * kLanes;
    Vec now = maximum(even[v], odd[v]);
    if (pair < keys) now = maximum(now, load(s + pair * kPanel + lane));
    // A lane that has seen no key yet is kept away from -Infinity - -Infinity.
    const Vec base = select(less(broadcast(kForbidden), now), now, broadcast(0));
    const Vec factor = exp(load(top + lane) - base);
    Vec total = broadcast(0);
    for (size_t key = 0; key < keys; key++) {
      const Vec weight = exp(load(s + key * kPanel + lane) - base);
      store(s + key * kPanel + lane, weight);
      total = total + weight;
    }
    store(top + lane, now);
    // The block is summed by itself: thousands of small weights do not drown one by one in a large sum.
    store(sum + lane, fma(load(sum + lane), factor, total));
    store(shrink + lane, factor);
  }
}

/// Rows for the scores of a block of keys and, where they cannot be packed in place, for their words.
inline size_t roomForScores(const Operands& operands) {
  return operands.parts == 1 ? kBlock : kBlock + operands.words(kBlock);
}

/// A panel of queries [first, first + count) on its way through the keys: the running maximum and sum of each
/// lane, and Oᵀ as far as it has come.
class AttendingPanel {
 public:
  /// Memory for Qᵀ and Oᵀ: [rows(headSize)][kPanel], [valueHeadSize][kPanel].
  AttendingPanel(const Call& call, const HeadOperands& reads, size_t batch, size_t head, size_t first,
                 size_t count, float* q, float* o)
      : call_(call),
        reads_(reads),
        batch_(batch),
        head_(head),
        first_(first),
        count_(count),
        o_(o),
        panel_(call, reads, batch, head, Lanes(first, count).queries, count) {
    panel_.packQueries(call.scale, q);
    std::fill_n(top_, kPanel, kForbidden);
    std::fill_n(sum_, kPanel, 0.0f);
    std::fill_n(o, call.valueHeadSize * kPanel, 0.0f);
  }

  /// Takes in the keys [block, end); s is room for their scores, [roomForScores()][kPanel]. Asks for part
  /// `index` of `parts` of the keys and values behind them.
  void addKeys(size_t block, size_t end, float* s, size_t index, size_t parts) {
    if (!panel_.sees(block, end)) return;
    const size_t vectors = vectorsOf(count_), size = call_.valueHeadSize;
    const Operands& operands = *call_.operands;
    const auto [from, to] = panel_.seenPart(block, end);
    const size_t behind = std::min(kBlock, call_.allKeys() - end);
    const size_t keyWords = operands.words(call_.headSize);
    const Upcoming keys{reads_.keys + end * keyWords, behind * keyWords};
    const Upcoming values{reads_.values + operands.wordsBefore(end) * size, operands.words(behind) * size};
    panel_.dotProducts(from, to, s, vectors, keys.part(index, parts));
    if (call_.softcap != 0) panel_.cap(to - from, s);
    panel_.mask(from, to, s);
    alignas(64) float shrink[kPanel];
    (vectors == 1 ? softmaxBlock<1> : softmaxBlock<2>)(s, to - from, top_, sum_, shrink);
    const size_t words = operands.words(to - from);
    float* weights = operands.parts == 1 ? s : s + kBlock * kPanel;
    operands.pack(s, to - from, kPanel, weights, words);
    multiply(operands, reads_.values + operands.wordsBefore(from) * size, size, weights, kPanel, words, size,
             o_, kPanel, Into::kRescale, shrink, vectors, values.part(index, parts));
  }

  void finish() { finishPanel(call_, batch_, head_, first_, count_, top_, sum_, o_); }

 private:
  struct Lanes {
    size_t queries[kPanel];
    Lanes(size_t first, size_t count) {
      for (size_t lane = 0; lane < count; lane++) queries[lane] = first + lane;
    }
  };

  const Call& call_;
  const HeadOperands& reads_;
  const size_t batch_, head_, first_, count_;
  float* const o_;
  alignas(64) float top_[kPanel], sum_[kPanel];
  QueryPanel panel_;
};

/// Panels of queries that go through the keys side by side: a block of keys and values comes from far away
/// for the first of them only.
constexpr size_t kSideBySide = 4;

/// Attention of the queries [from, to) of one head.
inline void attendQueries(const Call& call, const HeadOperands& reads, size_t batch, size_t head, size_t from,
                          size_t to) {
  static thread_local Scratch scoreScratch, queryScratch, outputScratch;
  float* s = scoreScratch.take(roomForScores(*call.operands) * kPanel);
  const size_t queryRows = call.operands->rows(call.headSize);
  float* q = queryScratch.take(kSideBySide * queryRows * kPanel);
  float* o = outputScratch.take(kSideBySide * call.valueHeadSize * kPanel);
  const size_t all = call.allKeys();
  while (from < to) {
    std::optional<AttendingPanel> panels[kSideBySide];
    size_t there = 0;
    for (; there < kSideBySide && from < to; there++, from += kPanel) {
      panels[there].emplace(call, reads, batch, head, from, std::min<size_t>(kPanel, to - from),
                            q + there * queryRows * kPanel, o + there * call.valueHeadSize * kPanel);
    }
    for (size_t block = 0; block < all; block += kBlock) {
      for (size_t i = 0; i < there; i++)
        panels[i]->addKeys(block, std::min(block + kBlock, all), s, i, there);
    }
    for (size_t i = 0; i < there; i++) panels[i]->finish();
  }
}

}  // namespace attention::ISA
