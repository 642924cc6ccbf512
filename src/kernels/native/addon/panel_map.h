// Rows of attention maps, made on the way of their queries through the keys.
#pragma once

#include <algorithm>

#include "call.h"
#include "elementary.h"
#include "panel.h"

namespace attention::ISA {

/// By what the exponentials of a row become the weights that are returned: exp(logit - top)·inverse.
struct RowShare {
  float top, inverse;
};

/// The share of a row, divided by the number of heads that a mean is taken over; 0 for an empty row.
inline RowShare shareOf(const Call& call, size_t batch, size_t head, size_t query, size_t heads) {
  const size_t row = call.rowIndex(batch, head, query);
  const double sum = call.rowSum.data[row];
  if (sum == 0) return {0, 0};
  const double divisor = call.reduce == Reduce::kMean ? static_cast<double>(heads) : 1.0;
  return {static_cast<float>(call.rowMax.data[row]), static_cast<float>(1 / (sum * divisor))};
}

/// Makes weights of the logits of a row.
inline void weighRow(const RowShare& share, float* row, size_t keys) {
  const Vec top = broadcast(share.top), inverse = broadcast(share.inverse);
  size_t key = 0;
  for (; key + kExpsAtOnce * kLanes <= keys; key += kExpsAtOnce * kLanes) {
    Vec weights[kExpsAtOnce];
    forEach<kExpsAtOnce>([&](int i) { weights[i] = load(row + key + i * kLanes) - top; });
    expEach(weights);
    forEach<kExpsAtOnce>([&](int i) { store(row + key + i * kLanes, weights[i] * inverse); });
  }
  for (; key + kLanes <= keys; key += kLanes) store(row + key, exp(load(row + key) - top) * inverse);
  if (key == keys) return;
  float rest[kLanes];
  store(rest, exp(loadFirst(row + key, keys - key) - top) * inverse);
  std::copy_n(rest, keys - key, row + key);
}

/// The row of the map that belongs to a query, where all weights of a call are returned.
inline float* mapRow(const Call& call, size_t batch, size_t head, size_t query) {
  return call.weights.data + call.rowIndex(batch, head, query) * call.allKeys();
}

/// Makes weights of the logits that the row of a query has of the keys it sees, and 0 of the others, whatever
/// is there.
inline void finishMapRow(const Call& call, size_t batch, size_t head, size_t query, const KeyRange& seen) {
  const auto keys = static_cast<int64_t>(call.keys);
  const auto from = static_cast<size_t>(std::min(seen.from, keys));
  const auto to = static_cast<size_t>(std::min(seen.to, keys));
  const RowShare share = shareOf(call, batch, head, query, 1);
  float* row = mapRow(call, batch, head, query);
  std::fill(row, row + from, 0.0f);
  weighRow(share, row + from, to - from);
  std::fill(row + to, row + call.keys, 0.0f);
  weighRow(share, row + call.keys, call.extras);
}

/// The rows of a map that belong to a panel of queries [first, first + count), where all weights of a call
/// are returned: its scores are there, and a map that is made afterwards would have them computed again,
/// which takes ten times as long as their exponentials. The rows first take the logits; they become weights,
/// by the same operations as elsewhere, when the maximum and the sum of each are known.
class PanelMap {
 public:
  PanelMap(const Call& call, size_t batch, size_t head, size_t first, size_t count)
      : call_(call), batch_(batch), head_(head), first_(first), count_(count) {}

  /// Takes the logits s[key - from][lane] of the keys [from, to).
  void take(size_t from, size_t to, const float* s) const {
    if (!call_.makesMapsOnTheWay) return;
    transpose(s, kPanel, to - from, count_, mapRow(call_, batch_, head_, first_) + from, call_.allKeys());
  }

  /// Once the rows of the panel are finished. Nothing has been taken of keys that none of them sees.
  void finish() const {
    if (!call_.makesMapsOnTheWay) return;
    const KeyRanges ranges(call_, batch_);
    for (size_t query = first_; query < first_ + count_; query++) {
      finishMapRow(call_, batch_, head_, query, ranges.of(query));
    }
  }

 private:
  const Call& call_;
  const size_t batch_, head_, first_, count_;
};

}  // namespace attention::ISA
