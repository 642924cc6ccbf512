// Attention of few queries over many keys, as in decoding.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "attending_panel.h"
#include "call.h"
#include "elementary.h"
#include "few_rows.h"
#include "panel_map.h"
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

/// sum[row][i] = Σ_key weight[row][key]·v[key][i] for the keys [first, end) of kRows rows and kVectors
/// vectors of columns from `column` on, which `read` loads. With kSkips, keys of weight 0 are stepped over.
template <typename Numbers, bool kSkips, int kRows, int kVectors, typename Read, typename Asks>
[[gnu::always_inline]] inline void sumValues(const Rows& values, size_t column, size_t first, size_t end,
                                             Read read, const float* weights, Asks& ahead,
                                             typename Asks::Place& place, Vec (&sum)[kRows][kVectors]) {
#pragma GCC unroll 4
  for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; i++) sum[r][i] = broadcast(0);
  }
  const float* v = values.first + first * values.stride + column;
  for (size_t key = first; key < end; key++, v += values.stride) {
    if (column % kLine == 0) ahead.template ask<std::max<int>(1, kVectors * kLanes / kLine)>(place);
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; i++) {
      const Vec x = Numbers::of(read(v + i * kLanes));
#pragma GCC unroll 4
      for (int r = 0; r < kRows; r++) {
        const float weight = weights[r * kRowStride + key];
        if (!kSkips || weight != 0) sum[r][i] = fma(broadcast(weight), x, sum[r][i]);
      }
    }
  }
}

/// o[row][c] = o[row][c]·shrink[row] + Σ_key weight[row][key]·v[key][c]; rows of o lie `stride` apart.
/// kForbids: whether a key may be forbidden. It may hold NaN then, and 0·NaN is not 0.
template <typename Numbers, int kRows, int kVectors, bool kForbids, typename Read, typename Asks>
void addValues(const Rows& values, size_t column, Read read, const float* weights, const float* shrink,
               float* o, size_t stride, Asks& ahead) {
  auto place = ahead.place;
  for (size_t first = 0; first < values.count; first += kValuesAtOnce) {
    const size_t end = std::min(first + kValuesAtOnce, values.count);
    Vec sum[kRows][kVectors];
    sumValues<Numbers, false>(values, column, first, end, read, weights, ahead, place, sum);
    if constexpr (kForbids) {
      FiniteProbe probe;
      for (const auto& row : sum) {
        for (const Vec& x : row) probe.see(x);
      }
      NothingAhead nothing;
      if (sumOf(probe) != 0)
        sumValues<Numbers, true>(values, column, first, end, read, weights, nothing, nothing.place, sum);
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; i++) {
        float* to = o + r * stride + column + i * kLanes;
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

/// Rows of sums have whole vectors.
inline size_t sumStride(size_t size) { return panelsOf(size, kLanes) * kLanes; }

/// The same for all columns: kVectors at a time, then half as many, and in the end what is left of a vector.
template <typename Numbers, int kRows, bool kForbids, int kVectors = kColumnVectors<kRows>, typename Asks>
void addAllValues(const Rows& values, const float* weights, const float* shrink, float* o, size_t size,
                  Asks& ahead, size_t c = 0) {
  const size_t stride = sumStride(size);
  // Not `load` itself: a pointer to it would be called for each vector.
  const auto whole = [](const float* p) { return load(p); };
  for (; c + kVectors * kLanes <= size; c += kVectors * kLanes)
    addValues<Numbers, kRows, kVectors, kForbids>(values, c, whole, weights, shrink, o, stride, ahead);
  if constexpr (kVectors > 1) {
    addAllValues<Numbers, kRows, kForbids, kVectors / 2>(values, weights, shrink, o, size, ahead, c);
  } else if (c < size) {
    const auto first = [&](const float* p) { return loadFirst(p, size - c); };
    addValues<Numbers, kRows, 1, kForbids>(values, c, first, weights, shrink, o, stride, ahead);
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

/// Takes values into the sums of kRows rows.
template <typename Numbers, int kRows, typename Asks>
void addToGroup(const Rows& values, const float* weights, const float* shrink, float* o, size_t size,
                Asks& ahead) {
  if (allPositive(weights, kRows, values.count))
    addAllValues<Numbers, kRows, false>(values, weights, shrink, o, size, ahead);
  else
    addAllValues<Numbers, kRows, true>(values, weights, shrink, o, size, ahead);
}

/// Takes values into the sums of as many rows from row r on as are taken at once.
template <typename Numbers, typename Asks>
void addToRows(const Rows& values, const float* weights, size_t r, size_t rows, const float* shrink, float* o,
               size_t size, Asks& ahead) {
  const float* w = weights + r * kRowStride;
  float* to = o + r * sumStride(size);
  const size_t atOnce = rowsAtOnce(r, rows);
  if (atOnce == 4) return addToGroup<Numbers, 4>(values, w, shrink + r, to, size, ahead);
  if (atOnce == 2) return addToGroup<Numbers, 2>(values, w, shrink + r, to, size, ahead);
  addToGroup<Numbers, 1>(values, w, shrink + r, to, size, ahead);
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
    addToRows<Numbers>(few, weights + key, 0, rows, shrink, o, size, ahead);
    for (size_t r = rowsAtOnce(0, rows); r < rows; r += rowsAtOnce(r, rows))
      addToRows<Numbers>(few, weights + key, r, rows, shrink, o, size, nothing);
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

/// Writes the rows of all queries of a head, sumStride apart, which are fewer than the lanes of a panel, for
/// the output projection.
inline void writePanel(const Call& call, size_t batch, size_t head, const float* rows) {
  static thread_local Scratch scratch;
  const Operands& operands = *call.operands;
  const size_t size = call.valueHeadSize;
  float* panel = operands.arePlain() ? nullptr : scratch.take(size * kPanel);
  if (panel != nullptr) std::fill_n(panel, size * kPanel, 0.0f);
  for (size_t query = 0; query < call.queries; query++) {
    float* lane = panel == nullptr ? concatLane(call, batch, head, query) : panel + query;
    for (size_t c = 0; c < size; c++) lane[c * kPanel] = rows[query * sumStride(size) + c];
  }
  if (panel != nullptr)
    operands.packLeft(panel, size, kPanel, concatLane(call, batch, head, 0), call.words(size));
}

/// Attention of the rows [from, to) of the queries of the heads that share a key/value head: whole heads.
inline void attendFewQueries(const Call& call, size_t batch, size_t kvHead, size_t from, size_t to) {
  if (from == to) return;
  static thread_local Scratch scoreScratch, outputScratch;
  const size_t size = call.valueHeadSize, stride = sumStride(size);
  const std::vector<QueryRow> rows = rowsOfGroup(call, batch, kvHead, from, to);
  const QueryRows queries(call, batch, rows, call.scale);
  float* s = scoreScratch.take(rows.size() * kRowStride);
  float* o = outputScratch.take(rows.size() * stride);
  std::vector<float> top(rows.size(), kForbidden), sum(rows.size(), 0.0f), shrink(rows.size());
  std::fill_n(o, rows.size() * stride, 0.0f);
  const RowPieces keys = keyPieces(call, batch, kvHead), values = valuePieces(call, batch, kvHead);
  const size_t all = call.allKeys();

  for (size_t block = 0; block < all; block += kFewBlock) {
    const size_t end = std::min(block + kFewBlock, all);
    if (!queries.sees(block, end)) continue;
    forEachPiece(keys, block, end, values.piece(block, end),
                 [&](const Rows& k, const Rows& next, size_t at) { queries.dotProducts(k, next, s + at); });
    if (call.softcap != 0) queries.cap(end - block, s);
    queries.mask(block, end, s);
    for (size_t r = 0; call.makesMapsOnTheWay && r < rows.size(); r++) {
      float* row = mapRow(call, batch, rows[r].head, rows[r].query);
      copyRow(s + r * kRowStride, end - block, row + block);
    }
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
    if (call.makesMapsOnTheWay) finishMapRow(call, batch, head, query, range);
    for (size_t c = 0; c < size; c++) o[r * stride + c] *= factor;
    if (!isFinite(o + r * stride, size)) reportOverflow(call);
  }
  if (!call.hasOutputProjection) {
    for (size_t r = 0; r < rows.size(); r++)
      std::copy_n(o + r * stride, size, call.output.row(batch, rows[r].head, rows[r].query));
    return;
  }
  for (size_t r = 0; r + call.queries <= rows.size(); r += call.queries)
    writePanel(call, batch, rows[r].head, o + r * stride);
}

}  // namespace attention::ISA
