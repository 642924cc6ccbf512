// Attention of few queries over many keys, as in decoding.
#pragma once

#include <algorithm>
#include <cmath>

#include "attend.h"
#include "call.h"
#include "elementary.h"
#include "few_rows.h"
#include "scratch.h"

namespace attention::ISA {

/// One block of the online softmax of one row: s[keys] become exp(s - maximum); returns the factor by which
/// what was summed before has to shrink.
inline float softmaxRow(float* s, size_t keys, float& top, float& sum) {
  for (size_t key = keys; key % kLanes != 0; key++) s[key] = kForbidden;
  alignas(64) float lanes[kLanes];
  Vec highest = broadcast(top);
  for (size_t key = 0; key < keys; key += kLanes) highest = maximum(highest, load(s + key));
  store(lanes, highest);
  const float now = *std::max_element(lanes, lanes + kLanes);
  // A row that has seen no key yet is kept away from -Infinity - -Infinity.
  const Vec base = broadcast(now == kForbidden ? 0 : now);
  store(lanes, exp(broadcast(top) - base));
  const float shrink = lanes[0];
  Vec total = broadcast(0);
  for (size_t key = 0; key < keys; key += kLanes) {
    const Vec weight = exp(load(s + key) - base);
    store(s + key, weight);
    total = total + weight;
  }
  top = now;
  sum = sum * shrink + sumLanes(total);
  return shrink;
}

/// o[row][c] = o[row][c]·shrink[row] + Σ_key weight[row][key]·v[key][c] for kRows rows and kVectors vectors
/// of columns. With kSkips, keys of weight 0 are stepped over: a forbidden key may hold NaN, and 0·NaN is not
/// 0.
template <int kRows, int kVectors, bool kSkips>
void addValues(const float* const* values, size_t keys, size_t column, const float* weights,
               const float* shrink, float* o, size_t size) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; i++) sum[r][i] = broadcast(0);
  }
  for (size_t key = 0; key < keys; key++) {
    if (column == 0) prefetch(values[key + kAhead], size);
    if (kSkips && weights[key] == 0) continue;
    const float* v = values[key] + column;
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; i++) {
      const Vec x = load(v + i * kLanes);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; r++) sum[r][i] = fma(broadcast(weights[r * kBlock + key]), x, sum[r][i]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; i++) {
      float* to = o + r * size + column + i * kLanes;
      store(to, fma(load(to), broadcast(shrink[r]), sum[r][i]));
    }
  }
}

/// The same for all columns: four vectors at a time, then one, then one by one.
template <int kRows, bool kSkips>
void addAllValues(const float* const* values, size_t keys, const float* weights, const float* shrink,
                  float* o, size_t size) {
  size_t c = 0;
  for (; c + 4 * kLanes <= size; c += 4 * kLanes) {
    addValues<kRows, 4, kSkips>(values, keys, c, weights, shrink, o, size);
  }
  for (; c + kLanes <= size; c += kLanes)
    addValues<kRows, 1, kSkips>(values, keys, c, weights, shrink, o, size);
  for (; c < size; c++) {
    for (int r = 0; r < kRows; r++) {
      float sum = 0;
      for (size_t key = 0; key < keys; key++) {
        const float weight = weights[r * kBlock + key];
        if (weight != 0) sum += weight * values[key][c];
      }
      o[r * size + c] = o[r * size + c] * shrink[r] + sum;
    }
  }
}

inline bool allPositive(const float* weights, size_t rows, size_t keys) {
  for (size_t r = 0; r < rows; r++) {
    const float* w = weights + r * kBlock;
    if (!std::all_of(w, w + keys, [](float weight) { return weight > 0; })) return false;
  }
  return true;
}

/// Takes a block of values into the sums of all rows, few enough at a time to be in the first-level cache
/// while groups of rows and columns meet them one after the other. Whatever a sum has is shrunk first.
inline void addBlock(const float* const* values, size_t keys, const float* weights, size_t rows,
                     float* shrink, float* o, size_t size) {
  for (size_t key = 0; key < keys; key += kAhead) {
    const size_t count = std::min(kAhead, keys - key);
    for (size_t r = 0; r < rows;) {
      const float* w = weights + r * kBlock + key;
      if (r + kRowGroup <= rows && allPositive(w, kRowGroup, count)) {
        addAllValues<kRowGroup, false>(values + key, count, w, shrink + r, o + r * size, size);
        r += kRowGroup;
      } else {
        addAllValues<1, true>(values + key, count, w, shrink + r, o + r * size, size);
        r++;
      }
    }
    std::fill_n(shrink, rows, 1.0f);
  }
}

/// The rows of all queries of the heads that read one key/value head.
inline std::vector<QueryRow> rowsOfGroup(const Call& call, size_t batch, size_t kvHead) {
  const size_t group = call.heads / call.kvHeads;
  std::vector<QueryRow> rows;
  for (size_t head = kvHead * group; head < (kvHead + 1) * group; head++) {
    for (size_t query = 0; query < call.queries; query++)
      rows.push_back({head, query, rangeOf(call, batch, query)});
  }
  return rows;
}

/// Attention of all queries of the heads that share a key/value head.
inline void attendFewQueries(const Call& call, size_t batch, size_t kvHead) {
  static thread_local Scratch scoreScratch, outputScratch;
  const size_t size = call.valueHeadSize;
  const std::vector<QueryRow> rows = rowsOfGroup(call, batch, kvHead);
  const QueryRows queries(call, batch, kvHead, rows, call.scale);
  float* s = scoreScratch.take(rows.size() * kBlock);
  float* o = outputScratch.take(rows.size() * size);
  std::vector<float> top(rows.size(), kForbidden), sum(rows.size(), 0.0f), shrink(rows.size());
  std::fill_n(o, rows.size() * size, 0.0f);
  RowList list(call, batch, kvHead);

  for (size_t block = 0; block < call.allKeys(); block += kBlock) {
    const size_t end = std::min(block + kBlock, call.allKeys());
    if (!queries.sees(block, end)) continue;
    const size_t keys = end - block;
    list.clear();
    list.addKeys(block, end);
    list.addValues(block, end);
    list.addKeys(end, end + kAhead);
    list.fill(2 * keys + kAhead);
    queries.dotProducts(list.data(), keys, s);
    if (call.softcap != 0) queries.cap(keys, s);
    queries.mask(block, end, s);
    for (size_t r = 0; r < rows.size(); r++)
      shrink[r] = softmaxRow(s + r * kBlock, keys, top[r], sum[r]);
    addBlock(list.data() + keys, keys, s, rows.size(), shrink.data(), o, size);
  }
  for (size_t r = 0; r < rows.size(); r++) {
    const auto& [head, query, range] = rows[r];
    const float factor = finishRow(call, batch, head, query, top[r], sum[r]);
    for (size_t c = 0; c < size; c++) o[r * size + c] *= factor;
    if (!isFinite(o + r * size, size)) reportOverflow(call);
    if (!call.hasOutputProjection) {
      std::copy_n(o + r * size, size, call.output.row(batch, head, query));
      continue;
    }
    float* panel = concatPanel(call, batch, head, query);
    for (size_t c = 0; c < size; c++) panel[c * kPanel + query % kPanel] = o[r * size + c];
  }
}

}  // namespace attention::ISA
