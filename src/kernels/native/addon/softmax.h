// The online softmax of a panel of queries, block by block of keys: FlashAttention, arXiv 2205.14135,
// algorithm 1. Lanes are queries, so nothing ever crosses lanes; a panel has kVectors of them.
#pragma once

#include "elementary.h"
#include "panel.h"
#include "query_panel.h"

namespace attention::ISA {

/// What a block of keys brings to the lanes of a panel.
struct alignas(64) SoftmaxBlock {
  /// What the logits are taken relative to: the maximum of all so far, or 0 where no key has been seen.
  float base[kPanel];
  /// By what all that was summed before has to be multiplied.
  float shrink[kPanel];
  /// Sum of the weights of the block. The block is summed by itself: thousands of small weights do not drown
  /// one by one in a large sum.
  float total[kPanel];

  /// Takes the logits s[keys][lane] into the maximum of each lane.
  template <int kVectors>
  void begin(const float* s, size_t keys, float* top) {
    // A chain of maxima for every other key of each vector of lanes: one would wait for itself.
    Vec even[kVectors], odd[kVectors];
    for (int v = 0; v < kVectors; v++) even[v] = odd[v] = load(top + v * kLanes);
    size_t pair = 0;
    for (; pair + 2 <= keys; pair += 2) {
      const float* row = s + pair * kPanel;
      for (int v = 0; v < kVectors; v++) {
        even[v] = maximum(even[v], load(row + v * kLanes));
        odd[v] = maximum(odd[v], load(row + kPanel + v * kLanes));
      }
    }
    for (int v = 0; v < kVectors; v++) {
      const size_t lane = v * kLanes;
      Vec now = maximum(even[v], odd[v]);
      if (pair < keys) now = maximum(now, load(s + pair * kPanel + lane));
      // A lane that has seen no key yet is kept away from -Infinity - -Infinity.
      const Vec from = select(less(broadcast(kForbidden), now), now, broadcast(0));
      store(shrink + lane, exp(load(top + lane) - from));
      store(base + lane, from);
      store(top + lane, now);
      store(total + lane, broadcast(0));
    }
  }

  /// Leaves exp(s - base) in place of the logits of some keys, and adds it to the total.
  template <int kVectors>
  void weigh(float* s, size_t keys) {
    constexpr size_t kKeys = kExpsAtOnce / kVectors;
    Vec from[kVectors], sum[kVectors];
    forEach<kVectors>([&](int v) { from[v] = load(base + v * kLanes), sum[v] = load(total + v * kLanes); });
    size_t key = 0;
    for (; key + kKeys <= keys; key += kKeys) weighKeys<kVectors, kKeys>(s + key * kPanel, from, sum);
    for (; key < keys; key++) weighKeys<kVectors, 1>(s + key * kPanel, from, sum);
    forEach<kVectors>([&](int v) { store(total + v * kLanes, sum[v]); });
  }

  /// Takes the total into the sum of each lane.
  template <int kVectors>
  void end(float* sum) const {
    for (int v = 0; v < kVectors; v++) {
      const size_t lane = v * kLanes;
      store(sum + lane, fma(load(sum + lane), load(shrink + lane), load(total + lane)));
    }
  }

 private:
  template <int kVectors, int kKeys>
  [[gnu::always_inline]] static inline void weighKeys(float* s, const Vec (&from)[kVectors],
                                                      Vec (&sum)[kVectors]) {
    const auto at = [s](int i) { return s + i / kVectors * kPanel + i % kVectors * kLanes; };
    Vec weights[kKeys * kVectors];
    forEach<kKeys * kVectors>([&](int i) { weights[i] = load(at(i)) - from[i % kVectors]; });
    expEach(weights);
    forEach<kKeys * kVectors>([&](int i) {
      store(at(i), weights[i]);
      sum[i % kVectors] = sum[i % kVectors] + weights[i];
    });
  }
};

}  // namespace attention::ISA
