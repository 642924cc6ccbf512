// Logits of few queries over many keys, as in decoding: keys are read once, where they lie. Packing them into
// panels would move more memory than the products do, and most lanes of a panel would be empty.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <utility>

#include "call.h"
#include "elementary.h"
#include "query_panel.h"
#include "row_pieces.h"
#include "scratch.h"

namespace attention::ISA {

/// Keys taken at a time, whole blocks of those of many queries: between two blocks memory has a rest.
constexpr size_t kFewBlock = 4 * kBlock;

/// Rows of queries that meet a key at a time: those from row r on of so many.
inline size_t rowsAtOnce(size_t r, size_t rows) { return rows - r >= 4 ? 4 : rows - r >= 2 ? 2 : 1; }

/// Keys that meet kRows queries at a time, so that there are kLanes products.
template <int kRows>
constexpr int kKeysAtOnce = std::max(1, kLanes / kRows);

/// Logits of a row of queries lie so far from those of the next: a block, and what is written behind its last
/// key.
constexpr size_t kRowStride = kFewBlock + kLanes;

/// What becomes of numbers on their way into a product: nothing in float32.
struct AsTheyAre {
  /// Vectors whose lanes a sum has.
  static constexpr size_t kParts = 1;
  template <typename Number>
  static Number of(Number x) {
    return x;
  }
};

/// In bfloat16 they are rounded, and then multiplied and added in float32. A sum has as many lanes on every
/// instruction set, and so the same bits.
struct Rounded {
  static constexpr size_t kParts = kSumLanes / kLanes;
  template <typename Number>
  static Number of(Number x) {
    return rounded(x);
  }
};

/// Calls `run` with the one of these that operands want.
template <typename Run>
void withNumbers(const Operands& operands, Run run) {
  if (operands.areRounded()) return run(Rounded());
  run(AsTheyAre());
}

/// q·k for kRows queries and as many keys as make kLanes products, into products[row][key], kRowStride apart.
/// Lanes go along the elements; q holds a vector of each query, then the next of each, zeros beyond the last
/// element. All products lie in registers and are summed across the lanes together, each in the same order:
/// the bits of one depend on neither its place nor on kRows. Then they are scaled.
template <typename Numbers, int kRows, typename Asks>
[[gnu::always_inline]] inline void dotKeys(const float* q, const float* const (&keys)[kKeysAtOnce<kRows>],
                                           size_t size, float scale, float* products, Asks& ahead,
                                           typename Asks::Place& place) {
  constexpr int kKeys = kKeysAtOnce<kRows>;
  static_assert(kKeys * kRows == kLanes);
  constexpr size_t kParts = Numbers::kParts;
  const size_t whole = size - size % kLanes;
  Vec parts[kParts];
  for (size_t part = 0; part < kParts; part++) {
    Vec sum[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i++) sum[i] = broadcast(0);
    const auto add = [&](size_t c, auto read) {
      Vec k[kKeys];
#pragma GCC unroll 16
      for (int i = 0; i < kKeys; i++) k[i] = Numbers::of(read(keys[i] + c));
#pragma GCC unroll 4
      for (int r = 0; r < kRows; r++) {
        const Vec x = load(q + c * kRows + r * kLanes);
#pragma GCC unroll 16
        for (int i = 0; i < kKeys; i++) sum[r * kKeys + i] = fma(x, k[i], sum[r * kKeys + i]);
      }
    };
    for (size_t c = part * kLanes; c < whole; c += kParts * kLanes) {
      if (c % kLine == 0) ahead.template ask<kKeys>(place);
      add(c, load);
    }
    if (whole < size && whole / kLanes % kParts == part)
      add(whole, [&](const float* p) { return loadFirst(p, size - whole); });
    parts[part] = sumEach(sum);
  }
  const Vec dots = addNeighbours(parts) * broadcast(scale);
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
  /// In bfloat16 the query is rounded, and the scale is left to the products.
  QueryRows(const Call& call, size_t batch, const std::vector<QueryRow>& rows, float scale)
      : call_(call), batch_(batch), rows_(rows) {
    static thread_local Scratch scratch;
    const bool isRounded = call.operands->areRounded();
    if (isRounded) std::swap(scale, scaleLeft_);
    q_ = scratch.take(rows.size() * paddedSize());
    for (size_t r = 0; r < rows.size();) {
      const size_t group = rowsAtOnce(r, rows.size());
      for (size_t last = r + group, first = r; r < last; r++) {
        const float* query = call.query.heads.row(batch, rows[r].head, rows[r].query);
        float* to = q_ + first * paddedSize() + (r - first) * kLanes;
        for (size_t c = 0; c < paddedSize(); c++) {
          const float x = c < call.headSize ? query[c] * scale : 0;
          to[c / kLanes * group * kLanes + c % kLanes] = isRounded ? rounded(x) : x;
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
    withNumbers(*call_.operands, [&](auto numbers) {
      for (size_t r = 0; r < rows_.size(); r += rowsAtOnce(r, rows_.size())) {
        if (r == 0)
          dotGroup<decltype(numbers)>(r, keys, s, ahead);
        else
          dotGroup<decltype(numbers)>(r, keys, s, nothing);
      }
    });
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
    const size_t last = std::min(end, call_.keys);
    const bool hasAddend = call_.bias || call_.alibiSlopes || call_.allow || call_.forbid || call_.keyValid;
    for (size_t r = 0; block < last && r < rows_.size(); r++) {
      const KeyRange& range = rows_[r].range;
      const auto inBlock = [&](int64_t key) {
        return static_cast<size_t>(std::clamp<int64_t>(key, block, last)) - block;
      };
      const size_t from = inBlock(range.from), to = inBlock(range.to);
      float* logits = s + r * kRowStride;
      std::fill(logits, logits + from, kForbidden);
      std::fill(logits + to, logits + last - block, kForbidden);
      if (hasAddend && from < to) addAddend(rows_[r], block + from, to - from, logits + from);
    }
  }

 private:
  /// As many rows as are taken at once from row r on.
  template <typename Numbers, typename Asks>
  void dotGroup(size_t r, const Rows& keys, float* s, Asks& ahead) const {
    const size_t atOnce = rowsAtOnce(r, rows_.size());
    if (atOnce == 4) return dotRows<Numbers, 4>(r, keys, s, ahead);
    if (atOnce == 2) return dotRows<Numbers, 2>(r, keys, s, ahead);
    dotRows<Numbers, 1>(r, keys, s, ahead);
  }

  template <typename Numbers, int kRows, typename Asks>
  void dotRows(size_t r, const Rows& keys, float* s, Asks& ahead) const {
    constexpr size_t kKeys = kKeysAtOnce<kRows>;
    const float* const q = q_ + r * paddedSize();
    const float scale = scaleLeft_;
    auto place = ahead.place;
    for (size_t key = 0; key < keys.count; key += kKeys) {
      // The last key stands in for those beyond it.
      const float* at[kKeys];
      for (size_t i = 0; i < kKeys; i++) at[i] = keys.first + std::min(key + i, keys.count - 1) * keys.stride;
      dotKeys<Numbers, kRows>(q, at, call_.headSize, scale, s + r * kRowStride + key, ahead, place);
    }
  }

  size_t paddedSize() const { return panelsOf(call_.headSize, kLanes) * kLanes; }

  /// Adds what a row adds to the logits of `count` keys from `first` on.
  void addAddend(const QueryRow& row, size_t first, size_t count, float* logits) const {
    alignas(64) float addend[kFewBlock];
    const uint8_t* valid = call_.keyValid ? call_.keyValid.data + batch_ * call_.keys + first : nullptr;
    Addends(call_, batch_, row.head).takeRow(row.query, first, first + count, addend, valid);
    const float slope = call_.alibiSlopes ? -call_.alibiSlopes.data[row.head] : 0;
    const Vec position = broadcast(static_cast<float>(row.range.position - static_cast<int64_t>(first)));
    for (size_t j = 0; j < count; j += kLanes) {
      const Vec key = broadcast(static_cast<float>(j)) + iota();
      const Vec logit = load(logits + j), plain = load(addend + j);
      const Vec sum = slope == 0 ? plain : fma(broadcast(slope), abs(position - key), plain);
      // In this order NaN stays NaN.
      const Vec visible = maximum(broadcast(-FLT_MAX), logit + sum);
      const Vec masked = select(less(broadcast(kForbidden), plain), visible, plain);
      store(logits + j, select(less(key, broadcast(static_cast<float>(count))), masked, logit));
    }
  }

  const Call& call_;
  const size_t batch_;
  const std::vector<QueryRow>& rows_;
  float* q_;
  /// What the products are still to be multiplied by.
  float scaleLeft_ = 1;
};

}  // namespace attention::ISA
