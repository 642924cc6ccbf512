// Gradients of attention (FlashAttention, arXiv 2205.14135, appendix B.2; the formulas are those of
// reference/gradients.ts). With the weights P = softmax(S) and dO = grad_output, lanes being queries:
//
//   dP[key][lane] = Σ_c V[key][c]·dO[lane][c]       delta[lane] = Σ_c O[lane][c]·dO[lane][c]
//   dS[key][lane] = P·(dP - delta)·(1 - tanh²)      (the softcap's derivative; 1 without one)
//   dQ[lane] = scale·Σ_key dS·K[key]     dK[key] = Σ_lane dS·scale·Q[lane]     dV[key] = Σ_lane P·dO[lane]
//
// P is made again from the statistics of the output, block by block, once for dQ and once for dK and dV. So
// each of them is the sum of one tile, in a fixed order, and no L x S map is ever in memory.
#pragma once

#include <algorithm>
#include <cmath>

#include "project.h"
#include "query_panel.h"
#include "scratch.h"

namespace attention::ISA {

/// Queries whose P and dS are summed into dK and dV at a time: the depth of these products.
constexpr size_t kStrip = 128;

inline QueryPanel panelFrom(const Call& call, size_t batch, size_t head, size_t first) {
  size_t queries[kPanel];
  const size_t count = std::min<size_t>(kPanel, call.queries - first);
  for (size_t lane = 0; lane < count; lane++) queries[lane] = first + lane;
  return QueryPanel(call, batch, head, queries, count);
}

/// Number of the panel that begins at a query, over all samples and heads.
inline size_t panelIndex(const Call& call, size_t batch, size_t head, size_t first) {
  return (batch * call.heads + head) * panelsOf(call.queries, kPanel) + first / kPanel;
}

/// Queries and output gradients [from, to) of one head as rows and as panels, and delta.
///
/// delta is Σ P·dP written another way. O and dP are sums of the same kind, and delta is summed like dP, over
/// c in the same order: where one key has all of the weight, O is its value, delta is dP to the bit and dS is
/// 0. A query that sees nothing may hold anything; its rows are zeros here, since 0·NaN is not 0.
inline void packGradientRows(const Call& call, size_t batch, size_t head, size_t from, size_t to) {
  static thread_local Scratch outputScratch, outputPanelScratch;
  const size_t size = call.headSize;
  const size_t valueSize = call.valueHeadSize;
  float* outputs = outputScratch.take(kPanel * valueSize);
  float* outputPanel = outputPanelScratch.take(kPanel * valueSize);
  for (size_t first = from; first < to; first += kPanel) {
    QueryPanel panel = panelFrom(call, batch, head, first);
    panel.packQueries(call.scale);
    const size_t index = panelIndex(call, batch, head, first);
    float* queries = call.queryRows.data + index * kPanel * size;
    float* grads = call.gradRows.data + index * kPanel * valueSize;
    float* gradPanel = call.gradPanels.data + index * kPanel * valueSize;
    std::copy_n(panel.packedQueries(), kPanel * size, call.queryPanels.data + index * kPanel * size);
    call.querySizes.data[index] = panel.size();
    transpose(panel.packedQueries(), kPanel, size, kPanel, queries, size);
    for (size_t lane = 0; lane < kPanel; lane++) {
      const size_t query = panel.query(lane);
      if (lane < panel.count() && call.rowSum.data[call.rowIndex(batch, head, query)] != 0) {
        std::copy_n(call.gradOutput.row(batch, head, query), valueSize, grads + lane * valueSize);
        std::copy_n(call.output.row(batch, head, query), valueSize, outputs + lane * valueSize);
      } else {
        std::fill_n(queries + lane * size, size, 0.0f);
        std::fill_n(grads + lane * valueSize, valueSize, 0.0f);
        std::fill_n(outputs + lane * valueSize, valueSize, 0.0f);
      }
    }
    transpose(grads, valueSize, kPanel, valueSize, gradPanel, kPanel);
    transpose(outputs, valueSize, kPanel, valueSize, outputPanel, kPanel);
    for (size_t lane = 0; lane < kPanel; lane += kLanes) {
      Vec delta = broadcast(0);
      for (size_t c = 0; c < valueSize; c++) {
        delta = fma(load(outputPanel + c * kPanel + lane), load(gradPanel + c * kPanel + lane), delta);
      }
      store(call.deltas.data + index * kPanel + lane, delta);
    }
  }
}

/// What turns the logits of a panel into weights and their gradients into those of the logits.
class GradientPanel {
 public:
  GradientPanel(const Call& call, size_t batch, size_t head, size_t first)
      : call_(call),
        panel_(panelFrom(call, batch, head, first)),
        index_(panelIndex(call, batch, head, first)),
        kvIndex_(batch * call.kvHeads + call.kvHeadOf(head)) {
    panel_.takeQueries(call.queryPanels.data + index_ * kPanel * call.headSize, call.querySizes.data[index_]);
    for (size_t lane = 0; lane < kPanel; lane++) {
      const size_t row = call.rowIndex(batch, head, panel_.query(lane));
      const double sum = call.rowSum.data[row];
      top_[lane] = sum == 0 ? 0 : static_cast<float>(call.rowMax.data[row]);
      // Lanes beyond the last query weigh nothing.
      inverse_[lane] = sum == 0 || lane >= panel_.count() ? 0 : static_cast<float>(1 / sum);
    }
  }

  bool sees(size_t block, size_t end) const { return panel_.sees(block, end); }
  size_t count() const { return panel_.count(); }

  /// P and dS for the keys [block, end): p[key - block][lane], ds likewise. `slopes` is working memory.
  void differentiate(size_t block, size_t end, float* p, float* ds, float* slopes) const {
    panel_.dotProducts(block, end, p);
    if (call_.softcap != 0) {
      panel_.cap(end - block, p);
      slopesOfCap(end - block, p, slopes);
    }
    panel_.mask(block, end, p);
    multiplyValues(block, end, ds);
    const float* deltas = call_.deltas.data + index_ * kPanel;
    for (size_t lane = 0; lane < kPanel; lane += kLanes) {
      const Vec top = load(top_ + lane);
      const Vec inverse = load(inverse_ + lane);
      const Vec delta = load(deltas + lane);
      for (size_t at = lane; at < (end - block) * kPanel; at += kPanel) {
        const Vec weight = exp(load(p + at) - top) * inverse;
        Vec gradient = weight * (load(ds + at) - delta);
        if (call_.softcap != 0) gradient = gradient * load(slopes + at);
        store(p + at, weight);
        // dP of a key that is not seen may be too large for float32: 0·Infinity is not 0.
        store(ds + at, select(less(broadcast(0), weight), gradient, broadcast(0)));
      }
    }
  }

 private:
  /// 1 - tanh², from c·tanh.
  void slopesOfCap(size_t keys, const float* capped, float* slopes) const {
    const Vec inverse = broadcast(1 / call_.softcap);
    for (size_t i = 0; i < keys * kPanel; i += kLanes) {
      const Vec tanh = load(capped + i) * inverse;
      store(slopes + i, broadcast(1) - tanh * tanh);
    }
  }

  /// dP.
  void multiplyValues(size_t block, size_t end, float* dp) const {
    const size_t size = call_.valueHeadSize;
    const float* grads = call_.gradPanels.data + index_ * kPanel * size;
    const float* values =
        call_.valuePanels.data + kvIndex_ * panelsOf(call_.allKeys(), kPanel) * size * kPanel;
    for (size_t key = block; key < end; key += kPanel) {
      multiply(values + key * size, kPanel, grads, kPanel, size, std::min<size_t>(kPanel, end - key),
               dp + (key - block) * kPanel, kPanel, Into::kOverwrite);
    }
  }

  const Call& call_;
  QueryPanel panel_;
  const size_t index_, kvIndex_;
  alignas(64) float top_[kPanel], inverse_[kPanel];
};

/// dQ of the queries [from, to) of one head; rotated rows are yet to be rotated back.
inline void gradQueryRows(const Call& call, size_t batch, size_t head, size_t from, size_t to) {
  static thread_local Scratch weightScratch, gradientScratch, slopeScratch, sumScratch, rowScratch;
  const size_t size = call.headSize;
  const size_t all = call.allKeys();
  float* p = weightScratch.take(kBlock * kPanel);
  float* ds = gradientScratch.take(kBlock * kPanel);
  float* slopes = slopeScratch.take(kBlock * kPanel);
  float* sum = sumScratch.take(size * kPanel);
  float* rows = rowScratch.take(kPanel * size);
  const float* keys = call.keyRows.data + (batch * call.kvHeads + call.kvHeadOf(head)) * all * size;

  for (size_t first = from; first < to; first += kPanel) {
    const GradientPanel panel(call, batch, head, first);
    std::fill_n(sum, size * kPanel, 0.0f);
    for (size_t block = 0; block < all; block += kBlock) {
      const size_t end = std::min(block + kBlock, all);
      if (!panel.sees(block, end)) continue;
      panel.differentiate(block, end, p, ds, slopes);
      multiply(keys + block * size, size, ds, kPanel, end - block, size, sum, kPanel, Into::kAdd);
    }
    for (size_t i = 0; i < size * kPanel; i += kLanes) store(sum + i, load(sum + i) * broadcast(call.scale));
    transpose(sum, kPanel, size, kPanel, rows, size);
    for (size_t lane = 0; lane < panel.count(); lane++) {
      std::copy_n(rows + lane * size, size, call.gradQuery.row(batch, head, first + lane));
    }
    if (!isFinite(rows, panel.count() * size)) reportOverflow(call);
  }
}

/// sums[c][key] += Σ_i rows[i][c]·factors[i][key] over a strip of queries; key < kBlock.
inline void addStrip(const float* rows, size_t size, const float* factors, size_t count, size_t keys,
                     float* sums) {
  for (size_t key = 0; key < keys; key += kPanel) {
    multiply(rows, size, factors + key, kBlock, count, size, sums + key, kBlock, Into::kAdd);
  }
}

/// Writes sums[c][key - block] as the rows of the new keys among [block, end).
inline void storeKeyRows(const Call& call, const HeadView& view, size_t batch, size_t kvHead, size_t block,
                         size_t end, size_t size, const float* sums) {
  static thread_local Scratch rowScratch;
  float* rows = rowScratch.take(kBlock * size);
  transpose(sums, kBlock, size, end - block, rows, size);
  for (size_t key = std::max(block, call.past); key < end; key++) {
    const float* row = rows + (key - block) * size;
    std::copy_n(row, size, view.row(batch, kvHead, key - call.past));
    if (!isFinite(row, size)) reportOverflow(call);
  }
}

/// dK and dV of the keys [from, to) of one key/value head, without the past ones, which are constants. Sums
/// go over the heads of the group, strips of queries and queries, in this order; rotated rows are yet to be
/// rotated back.
inline void gradKeyValueRows(const Call& call, size_t batch, size_t kvHead, size_t from, size_t to) {
  static thread_local Scratch weightScratch, gradientScratch, slopeScratch, turnedWeightScratch,
      turnedGradientScratch, keyScratch, valueScratch;
  const size_t size = call.headSize;
  const size_t valueSize = call.valueHeadSize;
  const size_t group = call.heads / call.kvHeads;
  float* p = weightScratch.take(kBlock * kPanel);
  float* ds = gradientScratch.take(kBlock * kPanel);
  float* slopes = slopeScratch.take(kBlock * kPanel);
  float* turnedP = turnedWeightScratch.take(kStrip * kBlock);
  float* turnedDs = turnedGradientScratch.take(kStrip * kBlock);
  float* keySums = keyScratch.take(size * kBlock);
  float* valueSums = valueScratch.take(valueSize * kBlock);

  for (size_t block = from; block < to; block += kBlock) {
    const size_t end = std::min(block + kBlock, to);
    if (end <= call.past) continue;
    std::fill_n(keySums, size * kBlock, 0.0f);
    std::fill_n(valueSums, valueSize * kBlock, 0.0f);
    for (size_t head = kvHead * group; head < (kvHead + 1) * group; head++) {
      // Queries [begin, begin + count) have their P and dS in the strip, turned to [query][key].
      size_t begin = 0, count = 0;
      const auto flush = [&] {
        if (count == 0) return;
        const size_t row = panelIndex(call, batch, head, begin) * kPanel;
        addStrip(call.queryRows.data + row * size, size, turnedDs, count, end - block, keySums);
        addStrip(call.gradRows.data + row * valueSize, valueSize, turnedP, count, end - block, valueSums);
        count = 0;
      };
      for (size_t first = 0; first < call.queries; first += kPanel) {
        if (first % kStrip == 0) flush();
        const GradientPanel panel(call, batch, head, first);
        if (!panel.sees(block, end)) {
          flush();
          continue;
        }
        panel.differentiate(block, end, p, ds, slopes);
        if (count == 0) begin = first;
        transpose(p, kPanel, end - block, kPanel, turnedP + count * kBlock, kBlock);
        transpose(ds, kPanel, end - block, kPanel, turnedDs + count * kBlock, kBlock);
        count += kPanel;
      }
      flush();
    }
    storeKeyRows(call, call.gradKey, batch, kvHead, block, end, size, keySums);
    storeKeyRows(call, call.gradValue, batch, kvHead, block, end, valueSize, valueSums);
  }
}

}  // namespace attention::ISA
