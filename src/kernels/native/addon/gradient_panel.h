// Panels of queries for the gradients: packed once, and differentiated at blocks of keys.
#pragma once

#include <algorithm>
#include <cmath>

#include "query_panel.h"
#include "scratch.h"

namespace attention::ISA {

inline QueryPanel panelFrom(const Call& call, size_t batch, size_t head, size_t first) {
  size_t queries[kPanel];
  const size_t count = std::min<size_t>(kPanel, call.queries - first);
  for (size_t lane = 0; lane < count; lane++) queries[lane] = first + lane;
  return QueryPanel(call, keptOperands(call, batch, head), batch, head, queries, count);
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
        firstRow_(call.rowIndex(batch, head, first)),
        kvIndex_(batch * call.kvHeads + call.kvHeadOf(head)) {
    panel_.takeQueries(call.queryPanels.data + index_ * kPanel * call.headSize, call.querySizes.data[index_]);
  }

  bool sees(size_t block, size_t end) const { return panel_.sees(block, end); }

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
    alignas(64) float tops[kPanel], inverses[kPanel];
    readStatistics(tops, inverses);
    for (size_t lane = 0; lane < kPanel; lane += kLanes) {
      const Vec top = load(tops + lane);
      const Vec inverse = load(inverses + lane);
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
  /// Maximum and 1 / sum of each row; lanes beyond the last query weigh nothing.
  void readStatistics(float* tops, float* inverses) const {
    for (size_t lane = 0; lane < kPanel; lane++) {
      const size_t row = firstRow_ + std::min(lane, panel_.count() - 1);
      const double sum = call_.rowSum.data[row];
      tops[lane] = sum == 0 ? 0 : static_cast<float>(call_.rowMax.data[row]);
      inverses[lane] = sum == 0 || lane >= panel_.count() ? 0 : static_cast<float>(1 / sum);
    }
  }

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
      multiply(kOperands<Float32>, values + key * size, kPanel, grads, kPanel, size,
               std::min<size_t>(kPanel, end - key), dp + (key - block) * kPanel, kPanel, Into::kOverwrite);
    }
  }

  const Call& call_;
  QueryPanel panel_;
  const size_t index_, firstRow_, kvIndex_;
};

}  // namespace attention::ISA
