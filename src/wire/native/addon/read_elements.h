// Reads the numbers of a tensor out of JSON: nested arrays, or the elements of one array.
#pragma once

#include <cstdint>

namespace attention::codec {

constexpr int kMostAxes = 4;

/// What is expected at the position.
enum class Expected {
  /// An element, or an array where the rank is greater; or the end of an array that has just begun.
  kValue,
  kElement,
  /// The end of an array, or a comma and what follows it; an element stands before.
  kNext,
};

/// Where reading is. Sizes are counted in the order in which arrays end; -1 where none has ended yet.
struct Place {
  const uint8_t* position;
  /// Elements so far, and how many of them stood before the row, which is an array of elements.
  int64_t count, rowStart;
  Expected expected;
  /// Arrays that the position is in.
  int level;
  /// 0 before it is known.
  int rank;
  int64_t sizes[kMostAxes];
  /// Arrays so far in those of the levels above the rows.
  int64_t entries[kMostAxes];
};

enum class Stop {
  /// Behind the tensor.
  kDone,
  /// At an element, for which there is no room.
  kFull,
  /// At a number that needs all of its digits to be rounded.
  kUndecided,
  /// At or before something that is no part of such a tensor.
  kFault,
};

/// Reads on until it stops. Element is float, double, or uint8_t for true and false. Nothing from `end` on is
/// read, and no more than `room` elements are in `out` after it.
template <typename Element>
Stop readElements(Place& place, const uint8_t* end, Element* out, int64_t room);

}  // namespace attention::codec
