// Logits of few queries over many keys, as in decoding: keys are read once, where they lie. Packing them into
// panels would move more memory than the products do, and most lanes of a panel would be empty.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "call.h"
#include "elementary.h"
#include "keys.h"
#include "query_panel.h"
#include "scratch.h"

namespace attention::ISA {

/// Rows of queries that meet a key at a time.
constexpr size_t kRowGroup = 4;
/// Keys that meet kRows queries at a time, so that there are kLanes products.
template <int kRows>
constexpr int kKeysAtOnce = std::max(1, kLanes / kRows);

/// Rows of keys and values that are read later than the current one, when they are asked for from memory: the
/// time that memory takes, and still few enough to stay in the first-level cache.
constexpr size_t kAhead = 16;

/// Has a row brought from memory while others are computed with.
inline void prefetch(const float* row, size_t size) {
  constexpr size_t kLine = 64 / sizeof(float);
  for (size_t c = 0; c < size; c += kLine) __builtin_prefetch(row + c);
}

/// Rows of one key/value head in the order in which they are read, and kAhead more behind them.
class RowList {
 public:
  RowList(const Call& call, size_t batch, size_t kvHead) : call_(call), batch_(batch), kvHead_(kvHead) {}

  void clear() { count_ = 0; }
  /// The rows of the keys (values) [from, to), as far as there are any.
  void addKeys(size_t from, size_t to) {
    add(call_.pastKey, call_.key.heads, call_.extraKeys, call_.headSize, from, to);
  }
  void addValues(size_t from, size_t to) {
    add(call_.pastValue, call_.value.heads, call_.extraValues, call_.valueHeadSize, from, to);
  }
  /// Has the last row stand in for those that are missing to `count`.
  void fill(size_t count) {
    while (count_ < count) rows_[count_] = rows_[count_ - 1], count_++;
  }

  const float* const* data() const { return rows_; }

 private:
  void add(const HeadView& past, const HeadView& fresh, const std::vector<Span<float>>& extras, size_t size,
           size_t from, size_t to) {
    const size_t last = std::min(to, call_.allKeys());
    size_t j = from;
    if (j < call_.past) {
      const float* row = past.row(batch_, kvHead_, j);
      for (; j < std::min(last, call_.past); j++, row += past.rowStride) rows_[count_++] = row;
    }
    if (j < call_.keys) {
      const float* row = fresh.row(batch_, kvHead_, j - call_.past);
      for (; j < std::min(last, call_.keys); j++, row += fresh.rowStride) rows_[count_++] = row;
    }
    for (; j < last; j++) rows_[count_++] = extras[j - call_.keys].data + kvHead_ * size;
  }

  const Call& call_;
  const size_t batch_, kvHead_;
  size_t count_ = 0;
  const float* rows_[2 * kBlock + kAhead];
};

/// q·k for kRows queries and as many keys as make kLanes products, into products[row][key], kBlock apart.
/// Lanes go along the elements. All products lie in registers and are summed across the lanes together, each
/// in the same order: the bits of one depend on neither its place nor on kRows.
template <int kRows>
void dotKeys(const float* q, const float* const* keys, size_t size, float* products) {
  constexpr int kKeys = kKeysAtOnce<kRows>;
  static_assert(kKeys * kRows == kLanes);
  Vec sum[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i++) sum[i] = broadcast(0);
  for (size_t c = 0; c < size; c += kLanes) {
    const size_t left = size - c;
    Vec k[kKeys];
#pragma GCC unroll 16
    for (int i = 0; i < kKeys; i++) k[i] = loadUpTo(keys[i] + c, left);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; r++) {
      const Vec x = loadUpTo(q + r * size + c, left);
#pragma GCC unroll 16
      for (int i = 0; i < kKeys; i++) sum[r * kKeys + i] = fma(x, k[i], sum[r * kKeys + i]);
    }
  }
  const Vec dots = sumEach(sum);
  alignas(64) float lanes[kLanes];
  // NaN where it is not finite.
  store(lanes, fma(dots, broadcast(0), dots));
#pragma GCC unroll 4
  for (int r = 0; r < kRows; r++) std::copy_n(lanes + r * kKeys, kKeys, products + r * kBlock);
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

  /// s[row][key] = q·k, kBlock apart, for `count` keys; asks for the rows that follow them in the list. NaN
  /// where it is too large for float32, so that it cannot be taken for a forbidden key.
  void dotProducts(const float* const* keys, size_t count, float* s) const {
    size_t r = 0;
    for (; r + kRowGroup <= rows_.size(); r += kRowGroup) dotRows<kRowGroup>(r, keys, count, s);
    for (; r < rows_.size(); r++) dotRows<1>(r, keys, count, s);
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
  template <int kRows>
  void dotRows(size_t r, const float* const* keys, size_t count, float* s) const {
    constexpr size_t kKeys = kKeysAtOnce<kRows>;
    const float* const q = q_ + r * call_.headSize;
    for (size_t key = 0; key < count; key += kKeys) {
      if (r == 0) {
        for (size_t i = 0; i < kKeys; i++) prefetch(keys[key + i + kAhead], call_.headSize);
      }
      float* products = s + r * kBlock + key;
      if (key + kKeys <= count) {
        dotKeys<kRows>(q, keys + key, call_.headSize, products);
        continue;
      }
      // The last key stands in for those beyond it.
      const float* last[kKeys];
      for (size_t i = 0; i < kKeys; i++) last[i] = keys[std::min(key + i, count - 1)];
      dotKeys<kRows>(q, last, call_.headSize, products);
    }
  }

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

}  // namespace attention::ISA
