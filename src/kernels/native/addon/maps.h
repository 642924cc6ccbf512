// Attention maps: the logits and weights that were asked for, made again from what the output was made with.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "attending_panel.h"

namespace attention::ISA {

/// Logits of the queries [from, to) of one head at the stage asked for, [B, H, L, T].
inline void writeLogitRows(const Call& call, size_t batch, size_t head, size_t from, size_t to) {
  static thread_local Scratch scratch;
  const size_t all = call.allKeys();
  float* s = scratch.take(kBlock * kPanel);
  for (size_t first = from; first < to; first += kPanel) {
    size_t queries[kPanel];
    const size_t count = std::min<size_t>(kPanel, to - first);
    for (size_t lane = 0; lane < count; lane++) queries[lane] = first + lane;
    QueryPanel panel(call, keptOperands(call, batch, head), batch, head, queries, count);
    panel.packQueries(call.logitStage == LogitStage::kRaw ? 1 : call.scale);
    float* rows = call.logits.data + call.rowIndex(batch, head, first) * all;
    for (size_t block = 0; block < all; block += kBlock) {
      const size_t end = std::min(block + kBlock, all);
      panel.dotProducts(block, end, s);
      const bool pastCap = call.logitStage == LogitStage::kCapped || call.logitStage == LogitStage::kMasked;
      if (pastCap && call.softcap != 0) panel.cap(end - block, s);
      if (call.logitStage == LogitStage::kMasked) panel.mask(block, end, s);
      const auto isLost = [](float x) { return !(x < INFINITY); };
      if (std::any_of(s, s + (end - block) * kPanel, isLost)) reportOverflow(call);
      transpose(s, kPanel, end - block, count, rows + block, all);
    }
  }
}

/// The weights of one head for the keys [block, end): exp(logit - maximum) / sum, with the statistics of the
/// output.
inline void weighBlock(const Call& call, const QueryPanel& panel, size_t block, size_t end, const float* top,
                       const float* inverse, float* s) {
  panel.dotProducts(block, end, s);
  if (call.softcap != 0) panel.cap(end - block, s);
  panel.mask(block, end, s);
  for (size_t key = 0; key < end - block; key++) {
    for (size_t lane = 0; lane < kPanel; lane += kLanes) {
      float* weight = s + key * kPanel + lane;
      store(weight, exp(load(weight) - load(top + lane)) * load(inverse + lane));
    }
  }
}

/// A number that at least k of a row are not below: the largest of every kLanes-th number, k of them.
inline float boundOfStrongest(const float* row, size_t keys, size_t k) {
  if (k > kLanes || keys < kLanes) return -INFINITY;
  Vec largest = load(row);
  for (size_t key = kLanes; key + kLanes <= keys; key += kLanes) largest = maximum(largest, load(row + key));
  // Numbers that have no order cannot be put in one.
  FiniteProbe probe;
  probe.see(largest);
  if (sumOf(probe) != 0) return -INFINITY;
  float lanes[kLanes];
  store(lanes, largest);
  std::nth_element(lanes, lanes + k - 1, lanes + kLanes, std::greater<float>());
  return lanes[k - 1];
}

/// The k largest of a row, largest first, ties by lower index.
inline void writeStrongest(const float* row, size_t keys, size_t k, int32_t* indices, float* values) {
  const float bound = boundOfStrongest(row, keys, k);
  size_t kept = 0;
  const auto take = [&](size_t key) {
    if (row[key] < bound || (kept == k && !(row[key] > row[indices[k - 1]]))) return;
    size_t slot = kept < k ? kept++ : k - 1;
    for (; slot > 0 && row[key] > row[indices[slot - 1]]; slot--) indices[slot] = indices[slot - 1];
    indices[slot] = static_cast<int32_t>(key);
  };
  const size_t whole = keys - keys % kLanes;
  for (size_t first = 0; first < whole; first += kLanes) {
    // Of most vectors of keys none is among the strongest.
    if (!any(notLess(load(row + first), broadcast(bound)))) continue;
    for (size_t key = first; key < first + kLanes; key++) take(key);
  }
  for (size_t key = whole; key < keys; key++) take(key);
  for (size_t slot = 0; slot < k; slot++) values[slot] = row[indices[slot]];
}

/// Weights of the selected queries [from, to) (places in the selection) of one selected head, or reduced over
/// them.
inline void writeWeightRows(const Call& call, size_t batch, size_t slot, size_t from, size_t to) {
  static thread_local Scratch blockScratch, reducedScratch, rowScratch;
  const size_t all = call.allKeys();
  const size_t heads = call.reduce == Reduce::kNone ? 1 : call.selectedHeads.size();
  const size_t slots = call.reduce == Reduce::kNone ? call.selectedHeads.size() : 1;
  const bool needsWholeRows = call.reduce != Reduce::kNone || call.topK > 0;
  float* s = blockScratch.take(kBlock * kPanel);
  float* whole = needsWholeRows ? reducedScratch.take(all * kPanel) : nullptr;

  for (size_t first = from; first < to; first += kPanel) {
    const size_t count = std::min<size_t>(kPanel, to - first);
    const size_t row = (batch * slots + slot) * call.selectedQueries.size() + first;
    if (needsWholeRows) std::fill_n(whole, all * kPanel, 0.0f);
    for (size_t h = 0; h < heads; h++) {
      const size_t head = call.selectedHeads[call.reduce == Reduce::kNone ? slot : h];
      QueryPanel panel(call, keptOperands(call, batch, head), batch, head,
                       call.selectedQueries.data() + first, count);
      panel.packQueries(call.scale);
      alignas(64) float top[kPanel], inverse[kPanel];
      for (size_t lane = 0; lane < kPanel; lane++) {
        const RowShare share = shareOf(call, batch, head, panel.query(lane), heads);
        top[lane] = share.top;
        inverse[lane] = share.inverse;
      }
      for (size_t block = 0; block < all; block += kBlock) {
        const size_t end = std::min(block + kBlock, all);
        weighBlock(call, panel, block, end, top, inverse, s);
        if (!needsWholeRows) {
          transpose(s, kPanel, end - block, count, call.weights.data + row * all + block, all);
          continue;
        }
        for (size_t i = 0; i < (end - block) * kPanel; i += kLanes) {
          float* target = whole + block * kPanel + i;
          const Vec weight = load(s + i);
          store(target, call.reduce == Reduce::kMax ? maximum(load(target), weight) : load(target) + weight);
        }
      }
    }
    if (!needsWholeRows) continue;
    if (call.topK == 0) {
      transpose(whole, kPanel, all, count, call.weights.data + row * all, all);
      continue;
    }
    float* rows = rowScratch.take(kPanel * all);
    transpose(whole, kPanel, all, count, rows, all);
    for (size_t lane = 0; lane < count; lane++) {
      const size_t at = (row + lane) * call.topK;
      writeStrongest(rows + lane * all, all, call.topK, call.topIndices.data + at, call.topValues.data + at);
    }
  }
}

}  // namespace attention::ISA
