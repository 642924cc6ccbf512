// Attention of few queries over many keys, as in decoding.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "attending_panel.h"
#include "call.h"
#include "elementary.h"
#include "few_rows.h"
#include "scratch.h"

namespace attention::ISA {

/// One block of the online softmax of one row: s[keys] become exp(s - maximum), as operands; returns the
/// factor by which what was summed before has to shrink.
template <typename Numbers>
float softmaxRow(float* s, size_t keys, float& top, float& sum) {
  for (size_t key = keys; key % kLanes != 0; key++) s[key] = kForbidden;
  Vec highest = broadcast(top);
  for (size_t key = 0; key < keys; key += kLanes) highest = maximum(highest, load(s + key));
  const float now = maximumOfLanes(highest);
  // A row that has seen no key yet is kept away from -Infinity - -Infinity.
  const Vec base = broadcast(now == kForbidden ? 0 : now);
  alignas(64) float lanes[kLanes];
  store(lanes, exp(broadcast(top) - base));
  const float shrink = lanes[0];
  Vec total[Numbers::kParts];
  for (Vec& part : total) part = broadcast(0);
  for (size_t first = 0; first < keys; first += Numbers::kParts * kLanes) {
    for (size_t part = 0, key = first; part < Numbers::kParts && key < keys; part++, key += kLanes) {
      const Vec weight = exp(load(s + key) - base);
      store(s + key, Numbers::of(weight));
      total[part] = total[part] + weight;
    }
  }
  top = now;
  sum = sum * shrink + sumLanes(addHalves(total));
  return shrink;
}

/// Values that are summed by themselves before they are added to what was summed before. So many stay in the
/// first-level cache while groups of rows and columns meet them one after the other.
constexpr size_t kValuesAtOnce = 16;

/// o[row][c] = o[row][c]·shrink[row] + Σ_key weight[row][key]·v[key][c] for kRows rows and kVectors vectors
/// of columns. With kSkips, keys of weight 0 are stepped over: a forbidden key may hold NaN, and 0·NaN is not
/// 0.
template <typename Numbers, int kRows, int kVectors, bool kSkips, typename Asks>
void addValues(const Rows& values, size_t column, const float* weights, const float* shrink, float* o,
               size_t size, Asks& ahead) {
  auto place = ahead.place;
  const float* v = values.first + column;
  for (size_t first = 0; first < values.count; first += kValuesAtOnce) {
    Vec sum[kRows][kVectors];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; i++) sum[r][i] = broadcast(0);
    }
    const size_t end = std::min(first + kValuesAtOnce, values.count);
    for (size_t key = first; key < end; key++, v += values.stride) {
      if (column % kLine == 0) ahead.template ask<std::max<int>(1, kVectors * kLanes / kLine)>(place);
      if (kSkips && weights[key] == 0) continue;
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; i++) {
        const Vec x = Numbers::of(load(v + i * kLanes));
#pragma GCC unroll 4
        for (int r = 0; r < kRows; r++)
          sum[r][i] = fma(broadcast(weights[r * kRowStride + key]), x, sum[r][i]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; i++) {
        float* to = o + r * size + column + i * kLanes;
        // Whatever a sum has is shrunk once.
        store(to, fma(load(to), broadcast(first == 0 ? shrink[r] : 1), sum[r][i]));
      }
    }
  }
  ahead.place = place;
}

/// The most vectors of columns that are taken at a time: as many as leave the registers room for all sums.
template <int kRows>
constexpr int kColumnVectors = kRows * 8 <= 2 * kMaxRows   ? 8
                               : kRows * 4 <= 2 * kMaxRows ? 4
                                                           : 2;

/// The same for all columns: kVectors at a time, then half as many, and in the end one by one.
template <typename Numbers, int kRows, bool kSkips, int kVectors = kColumnVectors<kRows>, typename Asks>
void addAllValues(const Rows& values, const float* weights, const float* shrink, float* o, size_t size,
                  Asks& ahead, size_t c = 0) {
  for (; c + kVectors * kLanes <= size; c += kVectors * kLanes)
    addValues<Numbers, kRows, kVectors, kSkips>(values, c, weights, shrink, o, size, ahead);
  if constexpr (kVectors > 1) {
    return addAllValues<Numbers, kRows, kSkips, kVectors / 2>(values, weights, shrink, o, size, ahead, c);
  }
  for (; c < size; c++) {
    for (int r = 0; r < kRows; r++) {
      for (size_t first = 0; first < values.count; first += kValuesAtOnce) {
        float sum = 0;
        for (size_t key = first; key < std::min(first + kValuesAtOnce, values.count); key++) {
          const float weight = weights[r * kRowStride + key];
          const float value = Numbers::of(values.first[key * values.stride + c]);
          if (weight != 0) sum = std::fma(weight, value, sum);
        }
        o[r * size + c] = std::fma(o[r * size + c], first == 0 ? shrink[r] : 1, sum);
      }
    }
  }
}

/// Whether no weight is 0; weights are made by `exp`.
inline bool allPositive(const float* weights, size_t rows, size_t keys) {
  Vec least = broadcast(-INFINITY);
  for (size_t r = 0; r < rows; r++) {
    for (size_t key = 0; key < keys; key += kLanes) {
      const Mask isKey = less(iota(), broadcast(static_cast<float>(keys - key)));
      const Vec weight = select(isKey, load(weights + r * kRowStride + key), broadcast(1));
      least = maximum(broadcast(0) - weight, least);
    }
  }
  return !any(less(broadcast(-FLT_MIN), least));
}

/// Takes values into the sums of some rows from row r on; returns the row behind them.
template <typename Numbers, typename Asks>
size_t addToRows(const Rows& values, const float* weights, size_t r, size_t rows, const float* shrink,
                 float* o, size_t size, Asks& ahead) {
  const float* w = weights + r * kRowStride;
  const float* shrinkRows = shrink + r;
  float* to = o + r * size;
  if (r + 4 <= rows && allPositive(w, 4, values.count)) {
    addAllValues<Numbers, 4, false>(values, w, shrinkRows, to, size, ahead);
    return r + 4;
  }
  if (r + 2 <= rows && allPositive(w, 2, values.count)) {
    addAllValues<Numbers, 2, false>(values, w, shrinkRows, to, size, ahead);
    return r + 2;
  }
  if (allPositive(w, 1, values.count))
    addAllValues<Numbers, 1, false>(values, w, shrinkRows, to, size, ahead);
  else
    addAllValues<Numbers, 1, true>(values, w, shrinkRows, to, size, ahead);
  return r + 1;
}

/// Whether sums of so many rows and columns are in registers all at once, so that values are met once.
inline bool areMetOnce(size_t rows, size_t size) {
  if (rows != rowsAtOnce(0, rows)) return false;
  const size_t vectors = rows == 1 ? kColumnVectors<1> : rows == 2 ? kColumnVectors<2> : kColumnVectors<4>;
  return size == vectors * kLanes || 2 * size == vectors * kLanes;
}

/// Takes a piece of a block of values into the sums of all rows, few at a time where they are met more than
/// once. Asks for the rows behind them, then for `next`.
template <typename Numbers>
void addPiece(const Rows& values, const Rows& next, const float* weights, size_t rows, float* shrink,
              float* o, size_t size) {
  Ahead ahead(values, next, size);
  NothingAhead nothing;
  const size_t atOnce = areMetOnce(rows, size) ? values.count : kValuesAtOnce;
  for (size_t key = 0; key < values.count; key += atOnce) {
    Rows few = values.from(key);
    few.count = std::min(few.count, atOnce);
    size_t r = addToRows<Numbers>(few, weights + key, 0, rows, shrink, o, size, ahead);
    while (r < rows) r = addToRows<Numbers>(few, weights + key, r, rows, shrink, o, size, nothing);
    std::fill_n(shrink, rows, 1.0f);
  }
}

/// Rows [from, to) of the queries of the heads that read one key/value head, one head after the other.
inline std::vector<QueryRow> rowsOfGroup(const Call& call, size_t batch, size_t kvHead, size_t from,
                                         size_t to) {
  const size_t firstHead = kvHead * (call.heads / call.kvHeads);
  std::vector<QueryRow> rows;
  for (size_t row = from; row < to; row++) {
    const size_t query = row % call.queries;
    rows.push_back({firstHead + row / call.queries, query, rangeOf(call, batch, query)});
  }
  return rows;
}

/// Writes the rows of all queries of a head, which are fewer than the lanes of a panel, for the output
/// projection.
inline void writePanel(const Call& call, size_t batch, size_t head, const float* rows) {
  static thread_local Scratch scratch;
  const Operands& operands = *call.operands;
  const size_t size = call.valueHeadSize;
  float* concat = concatPanel(call, batch, head, 0);
  float* panel = operands.arePlain() ? concat : scratch.take(size * kPanel);
  if (!operands.arePlain()) std::fill_n(panel, size * kPanel, 0.0f);
  for (size_t query = 0; query < call.queries; query++) {
    for (size_t c = 0; c < size; c++) panel[c * kPanel + query] = rows[query * size + c];
  }
  operands.packLeft(panel, size, kPanel, concat, call.words(size));
}

/// Attention of the rows [from, to) of the queries of the heads that share a key/value head: whole heads.
inline void attendFewQueries(const Call& call, size_t batch, size_t kvHead, size_t from, size_t to) {
  static thread_local Scratch scoreScratch, outputScratch;
  const size_t size = call.valueHeadSize;
  const std::vector<QueryRow> rows = rowsOfGroup(call, batch, kvHead, from, to);
  const QueryRows queries(call, batch, rows, call.scale);
  float* s = scoreScratch.take(rows.size() * kRowStride);
  float* o = outputScratch.take(rows.size() * size);
  std::vector<float> top(rows.size(), kForbidden), sum(rows.size(), 0.0f), shrink(rows.size());
  std::fill_n(o, rows.size() * size, 0.0f);
  const RowPieces keys = keyPieces(call, batch, kvHead), values = valuePieces(call, batch, kvHead);
  const size_t all = call.allKeys();

  for (size_t block = 0; block < all; block += kFewBlock) {
    const size_t end = std::min(block + kFewBlock, all);
    if (!queries.sees(block, end)) continue;
    forEachPiece(keys, block, end, values.piece(block, end),
                 [&](const Rows& k, const Rows& next, size_t at) { queries.dotProducts(k, next, s + at); });
    if (call.softcap != 0) queries.cap(end - block, s);
    queries.mask(block, end, s);
    const Rows behind = end < all ? keys.piece(end, all) : values.piece(block, end);
    withNumbers(*call.operands, [&](auto numbers) {
      using Numbers = decltype(numbers);
      for (size_t r = 0; r < rows.size(); r++)
        shrink[r] = softmaxRow<Numbers>(s + r * kRowStride, end - block, top[r], sum[r]);
      forEachPiece(values, block, end, behind, [&](const Rows& v, const Rows& next, size_t at) {
        addPiece<Numbers>(v, next, s + at, rows.size(), shrink.data(), o, size);
      });
    });
  }
  for (size_t r = 0; r < rows.size(); r++) {
    const auto& [head, query, range] = rows[r];
    const float factor = finishRow(call, batch, head, query, top[r], sum[r]);
    for (size_t c = 0; c < size; c++) o[r * size + c] *= factor;
    if (!isFinite(o + r * size, size)) reportOverflow(call);
  }
  if (!call.hasOutputProjection) {
    for (size_t r = 0; r < rows.size(); r++)
      std::copy_n(o + r * size, size, call.output.row(batch, rows[r].head, rows[r].query));
    return;
  }
  for (size_t r = 0; r + call.queries <= rows.size(); r += call.queries)
    writePanel(call, batch, rows[r].head, o + r * size);
}

}  // namespace attention::ISA
