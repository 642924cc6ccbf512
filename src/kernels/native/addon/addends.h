// What bias and masks add to the scores of queries.
#pragma once

#include <algorithm>
#include <cfloat>
#include <limits>

#include "call.h"
#include "elementary.h"
#include "panel.h"

namespace attention::ISA {

/// Keys taken at a time; S (kBlock x kPanel) stays in the first-level cache. Blocks begin at multiples of it.
constexpr size_t kBlock = 128;
constexpr float kForbidden = -std::numeric_limits<float>::infinity();

/// What bias and masks add to the scores of one head: a number, or -Infinity where a query may not see a key.
class Addends {
 public:
  Addends(const Call& call, size_t batch, size_t head) : call_(call), batch_(batch), head_(head) {}

  /// Whether there is a bias or a mask.
  explicit operator bool() const { return call_.bias || call_.allow || call_.forbid; }

  /// Those of a query and the keys [from, to): row[key - from], zeros up to a whole vector. `valid`, where
  /// given, is 0 for keys from `from` on that nobody may see.
  void takeRow(size_t query, size_t from, size_t to, float* row, const uint8_t* valid = nullptr) const {
    const float* bias = call_.bias ? call_.bias.row(batch_, head_, query) + from : nullptr;
    const uint8_t* allow = call_.allow ? call_.allow.row(batch_, head_, query) + from : nullptr;
    const uint8_t* forbid = call_.forbid ? call_.forbid.row(batch_, head_, query) + from : nullptr;
    const size_t keys = to - from, whole = keys - keys % kLanes;
    for (size_t j = 0; j < whole; j += kLanes) {
      Vec sum = bias == nullptr ? broadcast(0) : load(bias + j);
      if (allow != nullptr) sum = select(nonZeroBytes(allow + j), sum, broadcast(kForbidden));
      if (forbid != nullptr) sum = select(nonZeroBytes(forbid + j), broadcast(kForbidden), sum);
      if (valid != nullptr) sum = select(nonZeroBytes(valid + j), sum, broadcast(kForbidden));
      store(row + j, sum);
    }
    if (whole == keys) return;
    store(row + whole, broadcast(0));
    for (size_t j = whole; j < keys; j++) {
      const bool forbidden = (allow != nullptr && allow[j] == 0) || (forbid != nullptr && forbid[j] != 0) ||
                             (valid != nullptr && valid[j] == 0);
      row[j] = forbidden ? kForbidden : bias == nullptr ? 0 : bias[j];
    }
  }

  /// Takes them into the scores s[key - block][lane] of the queries queries[lane] and the keys [block, end).
  ///
  /// They come as rows of keys for each query, so kLanes rows are made of them at a time, and tiles of kLanes
  /// queries x kLanes keys transposed to the lanes. Row by row, since lines that lie side by side come from
  /// memory at twice the speed of lines of different rows. Visible logits never become -Infinity.
  void addTo(const size_t (&queries)[kPanel], size_t block, size_t end, float* s) const {
    alignas(64) float rows[kLanes * kBlock], turned[kLanes * kLanes];
    if (block >= end) return;
    for (size_t lane = 0; lane < kPanel; lane += kLanes) {
      for (size_t i = 0; i < kLanes; i++) takeRow(queries[lane + i], block, end, rows + i * kBlock);
      for (size_t key = block; key < end; key += kLanes) {
        transposeTile(rows + key - block, kBlock, turned, kLanes);
        for (size_t j = 0; j < std::min<size_t>(kLanes, end - key); j++) {
          float* row = s + (key - block + j) * kPanel + lane;
          const Vec addend = load(turned + j * kLanes);
          const Vec logit = maximum(broadcast(-FLT_MAX), load(row) + addend);
          store(row, select(less(broadcast(kForbidden), addend), logit, addend));
        }
      }
    }
  }

  /// Asks for what addTo reads of a query: each row is somewhere else, where a processor that reads on by
  /// itself does not expect it. Beside the products there is time until it comes.
  void askFor(size_t query, size_t block, size_t end) const {
    askForRow(call_.bias, query, block, end);
    askForRow(call_.allow, query, block, end);
    askForRow(call_.forbid, query, block, end);
    // Without an effect that a compiler knows of, it would leave all this out.
    asm volatile("");
  }

 private:
  template <typename T>
  [[gnu::always_inline]] inline void askForRow(const Broadcast<T>& tensor, size_t query, size_t from,
                                               size_t to) const {
    if (!tensor) return;
    const T* row = tensor.row(batch_, head_, query);
    for (size_t key = from; key < to; key += kLine * sizeof(float) / sizeof(T)) askForSecondLevel(row + key);
  }

  const Call& call_;
  const size_t batch_, head_;
};

}  // namespace attention::ISA
