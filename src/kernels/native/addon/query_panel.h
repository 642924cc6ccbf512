// From dot products to logits, for a panel of queries and a block of keys.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include "addends.h"
#include "call.h"
#include "elementary.h"
#include "heads.h"
#include "microkernel.h"
#include "scratch.h"

namespace attention::ISA {

/// One panel of queries of one head: which keys each lane may see, and the logits of blocks of keys.
class QueryPanel {
 public:
  /// Query of each lane; the last one stands in for lanes beyond it.
  QueryPanel(const Call& call, const HeadOperands& reads, size_t batch, size_t head, const size_t* queries,
             size_t count)
      : call_(call), reads_(reads), batch_(batch), head_(head), count_(count), addends_(call, batch, head) {
    std::copy_n(queries, count, query_);
    std::fill(query_ + count, query_ + kPanel, queries[count - 1]);
    // In variables of this function, so that the compiler knows that no turn writes what another one reads,
    // and makes vectors of them.
    int64_t allFrom = allFrom_, allTo = allTo_, anyFrom = anyFrom_, anyTo = anyTo_;
    const KeyRanges ranges(call, batch);
    for (size_t lane = 0; lane < kPanel; lane++) {
      const auto [from, to, position] = ranges.of(query_[lane]);
      from_[lane] = static_cast<float>(from);
      to_[lane] = static_cast<float>(to);
      position_[lane] = static_cast<float>(position);
      allFrom = std::max(allFrom, from);
      allTo = std::min(allTo, to);
      anyFrom = std::min(anyFrom, from);
      anyTo = std::max(anyTo, to);
    }
    allFrom_ = allFrom, allTo_ = allTo, anyFrom_ = anyFrom, anyTo_ = anyTo;
  }

  /// Qᵀ·scale, [words(headSize)][kPanel]. In bfloat16 Q is what is rounded, and the scale is left to the
  /// products: rounding the two together would move a query that is bfloat16 already.
  void packQueries(float scale) {
    static thread_local Scratch packed;
    packQueries(scale, packed.take(call_.operands->rows(call_.headSize) * kPanel));
  }

  /// The same into memory of the caller, [rows(headSize)][kPanel], in the first `vectors` of the lanes at the
  /// least.
  void packQueries(float scale, float* to, size_t vectors = 2) {
    static thread_local Scratch rows, plain;
    const Operands& operands = *call_.operands;
    q_ = operands.parts == 1 ? to : plain.take(call_.headSize * kPanel);
    if (operands.areRounded()) std::swap(scale, scaleLeft_);
    if (reads_.queries != nullptr) {
      takeLanes(scale);
    } else {
      const size_t lanes = operands.arePlain() ? vectors * kLanes : kPanel;
      float* gathered = rows.take(kPanel * call_.headSize);
      for (size_t lane = 0; lane < lanes; lane++) {
        const float* row = call_.query.heads.row(batch_, head_, query_[lane]);
        for (size_t c = 0; c < call_.headSize; c++) gathered[lane * call_.headSize + c] = row[c] * scale;
      }
      transpose(gathered, call_.headSize, lanes, call_.headSize, q_, kPanel);
    }
    // NaN is larger than everything, and so is what bfloat16 rounds to infinity.
    size_ = vectorsOf(count_) == 1 ? largestSum<1>() : largestSum<2>();
    if (operands.areRounded() && !fitsOperands(operands, q_, call_.headSize * kPanel)) size_ = INFINITY;
    size_ *= std::max(1.0f, std::fabs(scaleLeft_));
    operands.pack(q_, call_.headSize, kPanel, to, call_.words(call_.headSize));
    q_ = to;
  }

  /// Takes what packQueries has made of the same queries before.
  void takeQueries(float* packed, float size) {
    q_ = packed;
    size_ = size;
  }

  const float* packedQueries() const { return q_; }
  /// Largest Σ|q_c| of a query, scaled.
  float size() const { return size_; }

  /// Whether any lane may see a key of [block, end).
  bool sees(size_t block, size_t end) const {
    return end > call_.keys || (static_cast<int64_t>(end) > anyFrom_ && static_cast<int64_t>(block) < anyTo_);
  }

  /// The part of [block, end) that any lane may see, from a whole panel and a whole group of the sum on; what
  /// it leaves out has weight 0, so leaving it out changes no bit.
  std::pair<size_t, size_t> seenPart(size_t block, size_t end) const {
    static_assert(kGroup % kPanel == 0);
    const size_t from = static_cast<size_t>(anyFrom_) / kGroup * kGroup;
    if (end > call_.keys) return {std::max(block, std::min(from, call_.keys / kGroup * kGroup)), end};
    return {std::max(block, from), std::min(end, static_cast<size_t>(anyTo_))};
  }

  /// q·k for the keys [block, end): s[key - block][lane], in the first `vectors` of the lanes. NaN where it
  /// is too large for float32, so that it cannot be taken for a forbidden key.
  void dotProducts(size_t block, size_t end, float* s, size_t vectors = 2, Upcoming upcoming = {},
                   Beside* beside = nullptr) const {
    const size_t depth = call_.words(call_.headSize), panels = panelsOf(end - block, kPanel);
    const auto ask = [&](size_t lane) { addends_.askFor(query_[lane], block, std::min(end, call_.keys)); };
    Beside asking;
    if (beside == nullptr && addends_) {
      asking = Beside(ask, count_, panels * stepsOf(*call_.operands, depth, kPanel, vectors));
      beside = &asking;
    }
    for (size_t key = block; key < end; key += kPanel) {
      multiply(*call_.operands, reads_.keys + key * depth, kPanel, q_, kPanel, depth,
               std::min<size_t>(kPanel, end - key), s + (key - block) * kPanel, kPanel, Into::kOverwrite,
               nullptr, vectors, upcoming.part((key - block) / kPanel, panels), beside);
    }
    if (scaleLeft_ != 1) {
      const Vec scale = broadcast(scaleLeft_);
      for (size_t i = 0; i < (end - block) * kPanel; i += kLanes) store(s + i, load(s + i) * scale);
    }
    if (mayOverflow(block, end)) {
      for (size_t i = 0; i < (end - block) * kPanel; i++) s[i] += s[i] * 0;
    }
  }

  /// c·tanh(s/c).
  void cap(size_t keys, float* s) const {
    const Vec c = broadcast(call_.softcap);
    const Vec inverse = broadcast(1 / call_.softcap);
    for (size_t i = 0; i < keys * kPanel; i += kLanes) store(s + i, c * tanh(load(s + i) * inverse));
  }

  /// Adds ALiBi and bias, and -Infinity where a lane may not see the key. Visible logits never become
  /// -Infinity.
  void mask(size_t block, size_t end, float* s) const {
    const bool inRange = static_cast<int64_t>(block) >= allFrom_ && static_cast<int64_t>(end) <= allTo_;
    if (call_.alibiSlopes) addAlibi(block, end, s);
    if (addends_) addends_.addTo(query_, block, std::min(end, call_.keys), s);
    if (!inRange || call_.keyValid) forbidOutside(block, end, s);
    if (mayOverflow(block, end)) reportPoison(block, end, s);
  }

  size_t query(size_t lane) const { return query_[lane]; }
  size_t count() const { return count_; }

 private:
  /// Largest Σ|q_c| of a lane, or NaN where not all is finite.
  template <int kVectors>
  float largestSum() const {
    Vec sums[kVectors];
    for (int v = 0; v < kVectors; v++) sums[v] = broadcast(0);
    for (size_t c = 0; c < call_.headSize; c++) {
      for (int v = 0; v < kVectors; v++) sums[v] = sums[v] + abs(load(q_ + c * kPanel + v * kLanes));
    }
    FiniteProbe probes[2];
    for (int v = 0; v < kVectors; v++) probes[v].see(sums[v]);
    return maximumOfLanes(maximum(sums[0], sums[kVectors - 1])) + sumOf(probes);
  }

  /// Qᵀ·scale from queries that lie in panels already: a whole panel, or whatever queries are in the lanes.
  void takeLanes(float scale) {
    const size_t size = call_.headSize;
    const auto panelOf = [&](size_t query) { return reads_.queries + query / kPanel * size * kPanel; };
    bool isWhole = query_[0] % kPanel == 0;
    for (size_t lane = 1; lane < count_; lane++) isWhole = isWhole && query_[lane] == query_[0] + lane;
    if (isWhole) {
      const float* panel = panelOf(query_[0]);
      if (vectorsOf(count_) == 1) return scaleLanes<1>(panel, scale);
      return scaleLanes<2>(panel, scale);
    }
    for (size_t lane = 0; lane < kPanel; lane++) {
      const float* from = panelOf(query_[lane]) + query_[lane] % kPanel;
      for (size_t c = 0; c < size; c++) q_[c * kPanel + lane] = from[c * kPanel] * scale;
    }
  }

  /// Zeros are in the vectors that have no queries.
  template <size_t kVectors>
  void scaleLanes(const float* panel, float scale) {
    for (size_t i = 0; i < call_.headSize * kPanel; i += kPanel) {
      for (size_t v = 0; v < 2; v++) {
        const size_t at = i + v * kLanes;
        store(q_ + at, v < kVectors ? load(panel + at) * broadcast(scale) : broadcast(0));
      }
    }
  }

  /// Whether |q·k| <= Σ|q_c|·max|k_c| leaves room for biases of any size beside it.
  bool mayOverflow(size_t block, size_t end) const {
    float largest = 0;
    for (size_t key = block; key < end; key += kPanel) {
      const float* sizes = reads_.keySizes + key / kPanel * reads_.keySizeStride;
      largest = std::max(largest, *std::max_element(sizes, sizes + reads_.sizesOfPanel));
    }
    return !(size_ * largest < 1e30f);
  }

  void reportPoison(size_t block, size_t end, const float* s) const {
    if (reads_.poison == nullptr) return;
    for (size_t key = block; key < end; key++) {
      if (reads_.poison[key] == 0) continue;
      for (size_t lane = 0; lane < count_; lane++) {
        if (s[(key - block) * kPanel + lane] != kForbidden) reportOverflow(call_);
      }
    }
  }

  void addAlibi(size_t block, size_t end, float* s) const {
    const Vec slope = broadcast(-call_.alibiSlopes.data[head_]);
    for (size_t key = block; key < std::min(end, call_.keys); key++) {
      float* row = s + (key - block) * kPanel;
      for (size_t lane = 0; lane < kPanel; lane += kLanes) {
        const Vec distance = abs(load(position_ + lane) - broadcast(static_cast<float>(key)));
        store(row + lane, maximum(broadcast(-FLT_MAX), fma(slope, distance, load(row + lane))));
      }
    }
  }

  void forbidOutside(size_t block, size_t end, float* s) const {
    for (size_t key = block; key < std::min(end, call_.keys); key++) {
      float* row = s + (key - block) * kPanel;
      const bool valid = !call_.keyValid || call_.keyValid.data[batch_ * call_.keys + key] != 0;
      const Vec j = broadcast(valid ? static_cast<float>(key) : -1.0f);
      for (size_t lane = 0; lane < kPanel; lane += kLanes) {
        const Vec reached = select(less(j, load(to_ + lane)), load(row + lane), broadcast(kForbidden));
        store(row + lane, select(less(j, load(from_ + lane)), broadcast(kForbidden), reached));
      }
    }
  }

  const Call& call_;
  const HeadOperands reads_;
  const size_t batch_, head_, count_;
  const Addends addends_;
  size_t query_[kPanel];
  // Range of keys of each lane, as floats: exact up to 2^24 keys, which the plan checks.
  alignas(64) float from_[kPanel], to_[kPanel], position_[kPanel];
  int64_t allFrom_ = 0, allTo_ = std::numeric_limits<int64_t>::max();
  int64_t anyFrom_ = std::numeric_limits<int64_t>::max(), anyTo_ = 0;
  /// What the products are still to be multiplied by.
  float scaleLeft_ = 1;
  float* q_ = nullptr;
  /// Largest Σ|q_c| of a lane.
  float size_ = 0;
};

}  // namespace attention::ISA
