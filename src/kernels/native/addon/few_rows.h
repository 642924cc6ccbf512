// Logits of few queries over many keys, as in decoding: keys are read once, where they lie. Packing them into
// panels would move more memory than the products do, and most lanes of a panel would be empty.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "call.h"
#include "elementary.h"
#include "query_panel.h"
#include "row_pieces.h"
#include "scratch.h"

namespace attention::ISA {

/// Rows of queries that meet a key at a time.
constexpr size_t kRowGroup = 4;
/// Keys that meet kRows queries at a time, so that there are kLanes products.
template <int kRows>
constexpr int kKeysAtOnce = std::max(1, kLanes / kRows);

/// Logits of a row of queries lie so far from those of the next: a block, and what is written behind its last
/// key.
constexpr size_t kRowStride = kBlock + kLanes;

/// q·k for kRows queries and as many keys as make kLanes products, into products[row][key], kRowStride apart.
/// Lanes go along the elements; q holds a vector of each query, then the next of each, zeros beyond the last
/// element. All products lie in registers and are summed across the lanes together, each in the same order:
/// the bits of one depend on neither its place nor on kRows.
template <int kRows, typename Asks>
[[gnu::always_inline]] inline void dotKeys(const float* q, const float* const (&keys)[kKeysAtOnce<kRows>],
                                           size_t size, float* products, Asks& ahead,
                                           typename Asks::Place& place) {
  constexpr int kKeys = kKeysAtOnce<kRows>;
  static_assert(kKeys * kRows == kLanes);
  Vec sum[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i++) sum[i] = broadcast(0);
  const auto add = [&](size_t c, auto read) {
    Vec k[kKeys];
#pragma GCC unroll 16
    for (int i = 0; i < kKeys; i++) k[i] = read(keys[i] + c);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; r++) {
      const Vec x = load(q + c * kRows + r * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kKeys; i++) sum[r * kKeys + i] = fma(x, k[i], sum[r * kKeys + i]);
    }
  };
  const size_t whole = size - size % kLanes;
  for (size_t c = 0; c < whole; c += kLanes) {
    if (c % kLine == 0) ahead.template ask<kKeys>(place);
    add(c, load);
  }
  if (whole < size) add(whole, [&](const float* p) { return loadFirst(p, size - whole); });
  const Vec dots = sumEach(sum);
  alignas(64) float lanes[kLanes];
  // NaN where it is not finite.
  store(lanes, fma(dots, broadcast(0), dots));
#pragma GCC unroll 4
  for (int r = 0; r < kRows; r++) std::copy_n(lanes + r * kKeys, kKeys, products + r * kRowStride);
}

/// One query of one head, with the keys that causality, window and length leave to it.
struct QueryRow {
  size_t head, query;
  KeyRange range;
};

/// Queries of the heads that share one key/value head, and their logits by blocks of keys.
class QueryRows {
 public:
  QueryRows(const Call& call, size_t batch, const std::vector<QueryRow>& rows, float scale)
      : call_(call), batch_(batch), rows_(rows) {
    static thread_local Scratch scratch;
    q_ = scratch.take(rows.size() * paddedSize());
    for (size_t r = 0; r < rows.size();) {
      const size_t group = r + kRowGroup <= rows.size() ? kRowGroup : 1;
      for (size_t last = r + group, first = r; r < last; r++) {
        const float* query = call.query.heads.row(batch, rows[r].head, rows[r].query);
        float* to = q_ + first * paddedSize() + (r - first) * kLanes;
        for (size_t c = 0; c < paddedSize(); c++) {
          to[c / kLanes * group * kLanes + c % kLanes] = c < call.headSize ? query[c] * scale : 0;
        }
      }
    }
  }

  /// Whether any row may see a key of [block, end).
  bool sees(size_t block, size_t end) const {
    return end > call_.keys || std::any_of(rows_.begin(), rows_.end(), [&](const QueryRow& row) {
             return static_cast<int64_t>(end) > row.range.from && static_cast<int64_t>(block) < row.range.to;
           });
  }

  /// s[row][key] = q·k, kRowStride apart, for a piece of a block of keys; asks for the rows behind them, then
  /// for `next`.
  /// NaN where it is too large for float32, so that it cannot be taken for a forbidden key.
  void dotProducts(const Rows& keys, const Rows& next, float* s) const {
    Ahead ahead(keys, next, call_.headSize);
    NothingAhead nothing;
    size_t r = 0;
    for (; r + kRowGroup <= rows_.size(); r += kRowGroup) {
      if (r == 0)
        dotRows<kRowGroup>(r, keys, s, ahead);
      else
        dotRows<kRowGroup>(r, keys, s, nothing);
    }
    for (; r < rows_.size(); r++) {
      if (r == 0)
        dotRows<1>(r, keys, s, ahead);
      else
        dotRows<1>(r, keys, s, nothing);
    }
  }

  /// c·tanh(s/c).
  void cap(size_t keys, float* s) const {
    const Vec c = broadcast(call_.softcap), inverse = broadcast(1 / call_.softcap);
    for (size_t r = 0; r < rows_.size(); r++) {
      for (size_t key = 0; key < keys; key += kLanes) {
        float* at = s + r * kRowStride + key;
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
        float& logit = s[r * kRowStride + key - block];
        // In this order NaN stays NaN.
        logit = visible(rows_[r], key) ? std::max(logit + addend(rows_[r], key), -FLT_MAX) : kForbidden;
      }
    }
  }

 private:
  template <int kRows, typename Asks>
  void dotRows(size_t r, const Rows& keys, float* s, Asks& ahead) const {
    constexpr size_t kKeys = kKeysAtOnce<kRows>;
    const float* const q = q_ + r * paddedSize();
    auto place = ahead.place;
    for (size_t key = 0; key < keys.count; key += kKeys) {
      // The last key stands in for those beyond it.
      const float* at[kKeys];
      for (size_t i = 0; i < kKeys; i++) at[i] = keys.first + std::min(key + i, keys.count - 1) * keys.stride;
      dotKeys<kRows>(q, at, call_.headSize, s + r * kRowStride + key, ahead, place);
    }
  }

  size_t paddedSize() const { return panelsOf(call_.headSize, kLanes) * kLanes; }

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
  const size_t batch_;
  const std::vector<QueryRow>& rows_;
  float* q_;
};

}  // namespace attention::ISA
