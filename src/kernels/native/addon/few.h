// Attention of few queries over many keys, as in decoding: the keys and values are read once, where they lie.
// Packing them into panels would move more memory than the products do, and most lanes of a panel would be
// empty.
#pragma once

#include <algorithm>
#include <cmath>

#include "attend.h"
#include "call.h"
#include "elementary.h"
#include "keys.h"
#include "scratch.h"

namespace attention::ISA {

/// Rows whose sums are held in registers at a time.
constexpr size_t kRowGroup = 4;

/// q·k for kRows queries and kLanes keys, into products[row][key], kBlock apart. Keys are read one after the
/// other, as they lie, each part of one meeting all queries; lanes go along the elements, and transposed
/// tiles of the partial sums give the sums of all keys at once.
template <int kRows>
void dotKeys(const float* q, const float* const* keys, size_t size, float* products) {
  alignas(64) float tiles[kRows][kLanes * kLanes], turned[kLanes * kLanes], rest[kRows][kLanes] = {};
  for (int i = 0; i < kLanes; i++) {
    const float* k = keys[i];
    Vec sum[kRows];
    for (Vec& zero : sum) zero = broadcast(0);
    size_t c = 0;
    for (; c + kLanes <= size; c += kLanes) {
      const Vec x = load(k + c);
      for (int r = 0; r < kRows; r++) sum[r] = fma(load(q + r * size + c), x, sum[r]);
    }
    for (int r = 0; r < kRows; r++) store(tiles[r] + i * kLanes, sum[r]);
    for (; c < size; c++) {
      for (int r = 0; r < kRows; r++) rest[r][i] += q[r * size + c] * k[c];
    }
  }
  for (int r = 0; r < kRows; r++) {
    transposeTile(tiles[r], kLanes, turned, kLanes);
    Vec sum = load(rest[r]);
    for (int i = 0; i < kLanes; i++) sum = sum + load(turned + i * kLanes);
    // NaN where it is not finite.
    store(products + r * kBlock, fma(sum, broadcast(0), sum));
  }
}

/// One query of one head, with the keys that causality, window and length leave to it.
struct QueryRow {
  size_t head, query;
  KeyRange range;
};

/// Queries of the heads that share one key/value head, and their logits by blocks of keys.
class QueryRows {
 public:
  QueryRows(const Call& call, size_t batch, size_t kvHead, const std::vector<QueryRow>& rows, float scale)
      : call_(call), batch_(batch), kvHead_(kvHead), rows_(rows) {
    static thread_local Scratch scratch;
    q_ = scratch.take(rows.size() * call.headSize);
    for (size_t r = 0; r < rows.size(); r++) {
      const float* query = call.query.heads.row(batch, rows[r].head, rows[r].query);
      for (size_t c = 0; c < call.headSize; c++) q_[r * call.headSize + c] = query[c] * scale;
    }
  }

  /// Whether any row may see a key of [block, end).
  bool sees(size_t block, size_t end) const {
    return end > call_.keys || std::any_of(rows_.begin(), rows_.end(), [&](const QueryRow& row) {
             return static_cast<int64_t>(end) > row.range.from && static_cast<int64_t>(block) < row.range.to;
           });
  }

  /// s[row][key - block] = q·k, kBlock apart. NaN where it is too large for float32, so that it cannot be
  /// taken for a forbidden key.
  void dotProducts(size_t block, size_t end, float* s) const {
    const float* keys[kLanes];
    for (size_t key = block; key < end; key += kLanes) {
      // The last key stands in for those beyond it.
      for (size_t i = 0; i < kLanes; i++)
        keys[i] = keyRow(call_, batch_, kvHead_, std::min(key + i, end - 1));
      size_t r = 0;
      for (; r + kRowGroup <= rows_.size(); r += kRowGroup) {
        dotKeys<kRowGroup>(q_ + r * call_.headSize, keys, call_.headSize, s + r * kBlock + key - block);
      }
      for (; r < rows_.size(); r++) {
        dotKeys<1>(q_ + r * call_.headSize, keys, call_.headSize, s + r * kBlock + key - block);
      }
    }
  }

  /// c·tanh(s/c).
  void cap(size_t keys, float* s) const {
    const Vec c = broadcast(call_.softcap), inverse = broadcast(1 / call_.softcap);
    for (size_t r = 0; r < rows_.size(); r++) {
      for (size_t key = 0; key < keys; key += kLanes) {
        float* at = s + r * kBlock + key;
        store(at, c * tanh(load(at) * inverse));
      }
    }
  }

  /// Adds ALiBi and bias, and -Infinity where a row may not see the key. Visible logits never become
  /// -Infinity.
  void mask(size_t block, size_t end, float* s) const {
    const bool hasAddend = call_.bias || call_.alibiSlopes || call_.allow || call_.forbid || call_.keyValid;
    for (size_t r = 0; r < rows_.size(); r++) {
      const KeyRange& range = rows_[r].range;
      const bool inRange = static_cast<int64_t>(block) >= range.from && static_cast<int64_t>(end) <= range.to;
      if (inRange && !hasAddend) continue;
      for (size_t key = block; key < std::min(end, call_.keys); key++) {
        float& logit = s[r * kBlock + key - block];
        logit = visible(rows_[r], key) ? std::max(-FLT_MAX, logit + addend(rows_[r], key)) : kForbidden;
      }
    }
  }

  size_t count() const { return rows_.size(); }

 private:
  bool visible(const QueryRow& row, size_t key) const {
    const auto j = static_cast<int64_t>(key);
    if (j < row.range.from || j >= row.range.to) return false;
    if (call_.allow && call_.allow.row(batch_, row.head, row.query)[key] == 0) return false;
    if (call_.forbid && call_.forbid.row(batch_, row.head, row.query)[key] != 0) return false;
    return !call_.keyValid || call_.keyValid.data[batch_ * call_.keys + key] != 0;
  }

  float addend(const QueryRow& row, size_t key) const {
    float sum = call_.bias ? call_.bias.row(batch_, row.head, row.query)[key] : 0;
    if (call_.alibiSlopes) {
      sum -= call_.alibiSlopes.data[row.head] *
             std::fabs(static_cast<float>(row.range.position - static_cast<int64_t>(key)));
    }
    return sum;
  }

  const Call& call_;
  const size_t batch_, kvHead_;
  const std::vector<QueryRow>& rows_;
  float* q_;
};

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
/// of columns. With `skips`, keys of weight 0 are stepped over: a forbidden key may hold NaN, and 0·NaN is
/// not 0.
template <int kRows, int kVectors>
void addValues(const float* const* values, size_t keys, size_t column, const float* weights,
               const float* shrink, float* o, size_t size, bool skips) {
  Vec sum[kRows][kVectors];
  for (auto& row : sum) std::fill_n(row, kVectors, broadcast(0));
  for (size_t key = 0; key < keys; key++) {
    if (skips && weights[key] == 0) continue;
    const float* v = values[key] + column;
    for (int i = 0; i < kVectors; i++) {
      const Vec x = load(v + i * kLanes);
      for (int r = 0; r < kRows; r++) sum[r][i] = fma(broadcast(weights[r * kBlock + key]), x, sum[r][i]);
    }
  }
  for (int r = 0; r < kRows; r++) {
    for (int i = 0; i < kVectors; i++) {
      float* to = o + r * size + column + i * kLanes;
      store(to, fma(load(to), broadcast(shrink[r]), sum[r][i]));
    }
  }
}

/// The same for all columns: four vectors at a time, then one, then one by one.
template <int kRows>
void addAllValues(const float* const* values, size_t keys, const float* weights, const float* shrink,
                  float* o, size_t size, bool skips) {
  size_t c = 0;
  for (; c + 4 * kLanes <= size; c += 4 * kLanes) {
    addValues<kRows, 4>(values, keys, c, weights, shrink, o, size, skips);
  }
  for (; c + kLanes <= size; c += kLanes)
    addValues<kRows, 1>(values, keys, c, weights, shrink, o, size, skips);
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

/// Takes a block of values into the sums of all rows.
inline void addBlock(const float* const* values, size_t keys, const float* weights, size_t rows,
                     const float* shrink, float* o, size_t size) {
  for (size_t r = 0; r < rows;) {
    const float* w = weights + r * kBlock;
    const size_t group = std::min(kRowGroup, rows - r);
    if (group == kRowGroup && allPositive(w, group, keys)) {
      addAllValues<kRowGroup>(values, keys, w, shrink + r, o + r * size, size, false);
      r += kRowGroup;
    } else {
      addAllValues<1>(values, keys, w, shrink + r, o + r * size, size, true);
      r++;
    }
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
  const float* values[kBlock];

  for (size_t block = 0; block < call.allKeys(); block += kBlock) {
    const size_t end = std::min(block + kBlock, call.allKeys());
    if (!queries.sees(block, end)) continue;
    queries.dotProducts(block, end, s);
    if (call.softcap != 0) queries.cap(end - block, s);
    queries.mask(block, end, s);
    for (size_t r = 0; r < rows.size(); r++)
      shrink[r] = softmaxRow(s + r * kBlock, end - block, top[r], sum[r]);
    for (size_t key = block; key < end; key++) values[key - block] = valueRow(call, batch, kvHead, key);
    addBlock(values, end - block, s, rows.size(), shrink.data(), o, size);
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
