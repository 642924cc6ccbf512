// Attention maps of few queries over many keys: rows of logits, made again as the output's were.
#pragma once

#include <algorithm>
#include <cmath>

#include "few.h"
#include "maps.h"

namespace attention::ISA {

/// Logits of one query at a stage, for all keys.
inline void logitRow(const Call& call, size_t batch, size_t head, size_t query, LogitStage stage,
                     float* logits) {
  static thread_local Scratch scratch;
  float* s = scratch.take(kRowStride);
  const std::vector<QueryRow> rows{{head, query, rangeOf(call, batch, query)}};
  const QueryRows one(call, batch, rows, stage == LogitStage::kRaw ? 1 : call.scale);
  const RowPieces keys = keyPieces(call, batch, call.kvHeadOf(head));
  const size_t all = call.allKeys();
  for (size_t block = 0; block < all; block += kFewBlock) {
    const size_t end = std::min(block + kFewBlock, all);
    const Rows behind = keys.piece(end < all ? end : block, all);
    forEachPiece(keys, block, end, behind,
                 [&](const Rows& k, const Rows& next, size_t at) { one.dotProducts(k, next, s + at); });
    if (stage >= LogitStage::kCapped && call.softcap != 0) one.cap(end - block, s);
    if (stage == LogitStage::kMasked) one.mask(block, end, s);
    std::copy_n(s, end - block, logits + block);
  }
}

/// As writeLogitRows.
inline void writeFewLogits(const Call& call, size_t batch, size_t head, size_t from, size_t to) {
  for (size_t query = from; query < to; query++) {
    float* row = call.logits.data + call.rowIndex(batch, head, query) * call.allKeys();
    logitRow(call, batch, head, query, call.logitStage, row);
    if (std::any_of(row, row + call.allKeys(), [](float x) { return !(x < INFINITY); })) reportOverflow(call);
  }
}

/// As writeWeightRows.
inline void writeFewWeights(const Call& call, size_t batch, size_t slot, size_t from, size_t to) {
  static thread_local Scratch rowScratch, reducedScratch;
  const size_t all = call.allKeys();
  const size_t padded = panelsOf(all, kLanes) * kLanes;
  const bool reduces = call.reduce != Reduce::kNone;
  const size_t heads = reduces ? call.selectedHeads.size() : 1;
  float* row = rowScratch.take(padded);
  float* reduced = reducedScratch.take(padded);
  for (size_t index = from; index < to; index++) {
    const size_t query = call.selectedQueries[index];
    std::fill_n(reduced, padded, 0.0f);
    for (size_t h = 0; h < heads; h++) {
      const size_t head = call.selectedHeads[reduces ? h : slot];
      std::fill_n(row, padded, kForbidden);
      logitRow(call, batch, head, query, LogitStage::kMasked, row);
      const RowShare share = shareOf(call, batch, head, query, heads);
      for (size_t key = 0; key < padded; key += kLanes) {
        const Vec weight = exp(load(row + key) - broadcast(share.top)) * broadcast(share.inverse);
        const Vec before = load(reduced + key);
        store(reduced + key, call.reduce == Reduce::kMax ? maximum(before, weight) : before + weight);
      }
    }
    const size_t slots = reduces ? 1 : call.selectedHeads.size();
    const size_t at = (batch * slots + slot) * call.selectedQueries.size() + index;
    if (call.topK == 0) {
      std::copy_n(reduced, all, call.weights.data + at * all);
    } else {
      writeStrongest(reduced, all, call.topK, call.topIndices.data + at * call.topK,
                     call.topValues.data + at * call.topK);
    }
  }
}

}  // namespace attention::ISA
