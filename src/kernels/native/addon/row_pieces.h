// Keys and values where they lie, and the way to have them in the cache when they are read.
#pragma once

#include <algorithm>
#include <vector>

#include "call.h"
#include "keys.h"

namespace attention::ISA {

/// Rows of one key/value head that lie at equal distances.
struct Rows {
  const float* first;
  size_t stride, count;
  Rows from(size_t row) const { return {first + row * stride, stride, count - row}; }
};

/// Asks for rows from memory while earlier ones are computed with, so that they are in the first-level cache
/// when they are read. A line is asked for whenever a line is read, in the order in which lines lie: memory
/// is never idle and never has more to do than it can take, and whatever watches for streams sees one.
class Ahead {
 public:
  /// What is asked for next, and where the row ends. A loop that asks keeps it in registers.
  struct Place {
    const float *at, *end;
  };

  /// Starts as far behind the beginning of `rows` as memory takes to answer, and goes on to `next` from
  /// there.
  Ahead(const Rows& rows, const Rows& next, size_t size) : next_(next), size_(size) {
    const size_t distance = std::max<size_t>(1, kDistance / size);
    place = distance < rows.count ? enter(rows.from(distance))
                                  : enter(next.from(std::min(distance - rows.count, next.count - 1)));
  }

  /// Asks for kLines lines.
  template <int kLines>
  void ask(Place& now) {
#pragma GCC unroll 16
    for (int i = 0; i < kLines; i++) __builtin_prefetch(now.at + i * kLine);
    now.at += kLines * kLine;
    if (now.at >= now.end) now = goOn(now);
  }

  Place place;

 private:
  /// Numbers between what is asked for and what is read: a third of a first-level cache or less.
  static constexpr size_t kDistance = 160 * kLine;

  /// Rows that touch are one long row.
  Place enter(const Rows& rows) {
    const bool touch = rows.stride == size_;
    gap_ = static_cast<ptrdiff_t>(rows.stride) - static_cast<ptrdiff_t>(size_);
    left_ = touch ? 0 : rows.count - 1;
    return {rows.first, rows.first + (touch ? rows.count : 1) * size_};
  }

  [[gnu::noinline]] Place goOn(Place now) {
    while (now.at >= now.end) {
      const size_t beyond = now.at - now.end;
      if (left_ > 0) {
        left_--;
        now = {now.end + gap_, now.end + gap_ + size_};
      } else {
        now = enter(next_);
      }
      now.at += beyond;
    }
    return now;
  }

  const Rows next_;
  const size_t size_;
  ptrdiff_t gap_;
  size_t left_;
};

/// In the place of Ahead, where the rows have been read before.
struct NothingAhead {
  struct Place {
  } place;
  template <int>
  void ask(Place&) {}
};

/// The keys (or values) of one key/value head, by pieces that lie at equal distances.
class RowPieces {
 public:
  RowPieces(const Call& call, size_t batch, size_t kvHead, const HeadView& past, const HeadView& fresh,
            const std::vector<Span<float>>& extras, size_t size)
      : call_(call),
        past_(past),
        fresh_(fresh),
        extras_(extras),
        batch_(batch),
        kvHead_(kvHead),
        size_(size) {}

  /// The first of the rows [from, to), as many as lie at equal distances.
  Rows piece(size_t from, size_t to) const {
    const float* first = rowOf(call_, past_, fresh_, extras_, size_, batch_, kvHead_, from);
    if (from < call_.past) return {first, past_.rowStride, std::min(to, call_.past) - from};
    if (from < call_.keys) return {first, fresh_.rowStride, std::min(to, call_.keys) - from};
    return {first, 0, 1};
  }

 private:
  const Call& call_;
  const HeadView &past_, &fresh_;
  const std::vector<Span<float>>& extras_;
  const size_t batch_, kvHead_, size_;
};

/// Calls `run(rows, next, at)` for each piece of the rows [block, end): the piece, the rows that are met
/// after it, up to `behind`, and where it begins in the block.
template <typename Run>
void forEachPiece(const RowPieces& rows, size_t block, size_t end, const Rows& behind, Run run) {
  for (size_t at = block; at < end;) {
    const Rows piece = rows.piece(at, end);
    const size_t next = at + piece.count;
    run(piece, next < end ? rows.piece(next, end) : behind, at - block);
    at = next;
  }
}

inline RowPieces keyPieces(const Call& call, size_t batch, size_t kvHead) {
  return {call, batch, kvHead, call.pastKey, call.key.heads, call.extraKeys, call.headSize};
}

inline RowPieces valuePieces(const Call& call, size_t batch, size_t kvHead) {
  return {call, batch, kvHead, call.pastValue, call.value.heads, call.extraValues, call.valueHeadSize};
}

}  // namespace attention::ISA
