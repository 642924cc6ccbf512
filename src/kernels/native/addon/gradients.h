// Gradients of attention (FlashAttention, arXiv 2205.14135, appendix B.2; the formulas are those of
// reference/gradients.ts). With the weights P = softmax(S) and dO = grad_output, lanes being queries:
//
//   dP[key][lane] = Σ_c V[key][c]·dO[lane][c]       delta[lane] = Σ_c O[lane][c]·dO[lane][c]
//   dS[key][lane] = P·(dP - delta)·(1 - tanh²)      (the softcap's derivative; 1 without one)
//   dQ[lane] = scale·Σ_key dS·K[key]     dK[key] = Σ_lane dS·scale·Q[lane]     dV[key] = Σ_lane P·dO[lane]
//
// P and dS are made again from the statistics of the output once for each block of keys and panel of queries,
// and what they add to dQ, dK and dV is added at once: five products, and no L x S map in memory. dK and dV
// of a block are the sums of one tile. dQ sums over blocks, which are different tiles: block k adds to the
// partial sum k mod kGradientPartials, and only one block in kGradientPartials may run at a time, so that all
// sums have one order.
#pragma once

#include <algorithm>

#include "gradient_panel.h"
#include "project.h"
#include "scratch.h"

namespace attention::ISA {

/// Queries whose P and dS are summed into dK and dV at a time: the depth of these products.
constexpr size_t kStrip = 128;
static_assert(kBlock == kGradientBlock);

/// Writes sums, panels of keys [c][kPanel], as the rows of the new keys among [block, end).
inline void storeKeyRows(const Call& call, const HeadView& view, size_t batch, size_t kvHead, size_t block,
                         size_t end, size_t size, const float* sums) {
  static thread_local Scratch rowScratch;
  float* rows = rowScratch.take(kBlock * size);
  for (size_t key = 0; key < end - block; key += kPanel) {
    transpose(sums + key * size, kPanel, size, kPanel, rows + key * size, size);
  }
  for (size_t key = std::max(block, call.past); key < std::min(end, call.keys); key++) {
    const float* row = rows + (key - block) * size;
    std::copy_n(row, size, view.row(batch, kvHead, key - call.past));
    if (!isFinite(row, size)) reportOverflow(call);
  }
}

/// One of the partial sums of dQ: [headSize][kPanel] for each panel of queries.
inline float* queryPartial(const Call& call, size_t partial, size_t panel) {
  const size_t panels = call.batch * call.heads * panelsOf(call.queries, kPanel);
  return call.queryPartials.data + (partial * panels + panel) * call.headSize * kPanel;
}

/// Differentiates heads at the keys [block, end): adds to dQ, and to the sums of dK and dV, which are panels
/// of keys.
class BlockGradients {
 public:
  BlockGradients(const Call& call, size_t batch, size_t kvHead, size_t block, size_t end)
      : call_(call), batch_(batch), block_(block), end_(end), partial_(block / kBlock % kGradientPartials) {
    static thread_local Scratch weights, gradients, slopes, turnedWeights, turnedGradients;
    p_ = weights.take(kBlock * kPanel);
    ds_ = gradients.take(kBlock * kPanel);
    slopes_ = slopes.take(kBlock * kPanel);
    turnedP_ = turnedWeights.take(kStrip * kBlock);
    turnedDs_ = turnedGradients.take(kStrip * kBlock);
    keyRows_ = call.keyRows.data + ((batch * call.kvHeads + kvHead) * call.allKeys() + block) * call.headSize;
  }

  void addHead(size_t head, float* keySums, float* valueSums) {
    // Past and extra keys are constants.
    const bool hasNewKeys = end_ > call_.past && block_ < call_.keys;
    if (block_ / kBlock < kGradientPartials) clearQueries(head);
    // Queries [begin, begin + count) have their P and dS in the strip, turned to panels of keys,
    // [query][kPanel].
    size_t begin = 0, count = 0;
    const auto flush = [&] {
      if (count == 0) return;
      const size_t row = panelIndex(call_, batch_, head, begin) * kPanel;
      addStrip(call_.queryRows.data + row * call_.headSize, call_.headSize, turnedDs_, count, keySums);
      addStrip(call_.gradRows.data + row * call_.valueHeadSize, call_.valueHeadSize, turnedP_, count,
               valueSums);
      count = 0;
    };
    for (size_t first = 0; first < call_.queries; first += kPanel) {
      if (first % kStrip == 0) flush();
      const GradientPanel panel(call_, batch_, head, first);
      if (!panel.sees(block_, end_)) {
        flush();
        continue;
      }
      panel.differentiate(block_, end_, p_, ds_, slopes_);
      multiply(kOperands<Float32>, keyRows_, call_.headSize, ds_, kPanel, end_ - block_, call_.headSize,
               queryPartial(call_, partial_, panelIndex(call_, batch_, head, first)), kPanel, Into::kAdd);
      if (!hasNewKeys) continue;
      if (count == 0) begin = first;
      for (size_t key = 0; key < end_ - block_; key += kPanel) {
        const size_t at = key * kStrip + count * kPanel;
        transpose(p_ + key * kPanel, kPanel, kPanel, kPanel, turnedP_ + at, kPanel);
        transpose(ds_ + key * kPanel, kPanel, kPanel, kPanel, turnedDs_ + at, kPanel);
      }
      count += kPanel;
    }
    flush();
  }

 private:
  void clearQueries(size_t head) const {
    std::fill_n(queryPartial(call_, partial_, panelIndex(call_, batch_, head, 0)),
                panelsOf(call_.queries, kPanel) * call_.headSize * kPanel, 0.0f);
  }

  /// Σ_i rows[i][c]·factors[i][key] over a strip of queries, added to the sums of each key.
  void addStrip(const float* rows, size_t size, const float* factors, size_t count, float* sums) const {
    for (size_t key = 0; key < end_ - block_; key += kPanel) {
      multiply(kOperands<Float32>, rows, size, factors + key * kStrip, kPanel, count, size, sums + key * size,
               kPanel, Into::kAdd);
    }
  }

  const Call& call_;
  const size_t batch_, block_, end_, partial_;
  const float* keyRows_;
  float *p_, *ds_, *slopes_, *turnedP_, *turnedDs_;
};

/// dK and dV of the keys [from, to) of one key/value head, and what these keys add to dQ. Sums of dK and dV
/// go over the heads of the group, strips of queries and queries, in this order. Rotated rows are yet to be
/// rotated back.
inline void gradKeyRows(const Call& call, size_t batch, size_t kvHead, size_t from, size_t to) {
  static thread_local Scratch keyScratch, valueScratch;
  const size_t group = call.heads / call.kvHeads;
  float* keySums = keyScratch.take(call.headSize * kBlock);
  float* valueSums = valueScratch.take(call.valueHeadSize * kBlock);
  for (size_t block = from; block < to; block += kBlock) {
    const size_t end = std::min(block + kBlock, to);
    std::fill_n(keySums, call.headSize * kBlock, 0.0f);
    std::fill_n(valueSums, call.valueHeadSize * kBlock, 0.0f);
    BlockGradients gradients(call, batch, kvHead, block, end);
    for (size_t head = kvHead * group; head < (kvHead + 1) * group; head++) {
      gradients.addHead(head, keySums, valueSums);
    }
    storeKeyRows(call, call.gradKey, batch, kvHead, block, end, call.headSize, keySums);
    storeKeyRows(call, call.gradValue, batch, kvHead, block, end, call.valueHeadSize, valueSums);
  }
}

/// dQ of the queries [from, to) of one head, from its partial sums.
inline void gradQueryRows(const Call& call, size_t batch, size_t head, size_t from, size_t to) {
  static thread_local Scratch sumScratch, rowScratch;
  const size_t size = call.headSize;
  float* sum = sumScratch.take(size * kPanel);
  float* rows = rowScratch.take(kPanel * size);
  for (size_t first = from; first < to; first += kPanel) {
    std::fill_n(sum, size * kPanel, 0.0f);
    for (size_t partial = 0; partial < call.partials(); partial++) {
      const float* part = queryPartial(call, partial, panelIndex(call, batch, head, first));
      for (size_t i = 0; i < size * kPanel; i += kLanes) store(sum + i, load(sum + i) + load(part + i));
    }
    for (size_t i = 0; i < size * kPanel; i += kLanes) store(sum + i, load(sum + i) * broadcast(call.scale));
    transpose(sum, kPanel, size, kPanel, rows, size);
    const size_t count = std::min<size_t>(kPanel, call.queries - first);
    for (size_t lane = 0; lane < count; lane++) {
      std::copy_n(rows + lane * size, size, call.gradQuery.row(batch, head, first + lane));
    }
    if (!isFinite(rows, count * size)) reportOverflow(call);
  }
}

}  // namespace attention::ISA
