// Writes the elements of a tensor as JSON, in nested arrays.
#pragma once

#include <cstdint>

namespace attention::codec {

/// Elements in row-major order up to `count`, and how many entries the arrays around them have, from the
/// outermost one to the rows. No sizes: elements and commas only.
template <typename Element>
struct Rows {
  const Element* elements;
  const int64_t* sizes;
  int axes;
  /// The product of the sizes, where there are any.
  int64_t count;
};

enum class WriteStop {
  kDone,
  /// No room for one more element.
  kFull,
  /// An element is NaN or Infinity.
  kNotWritable,
};

/// Writes from element `from` on, with the brackets and commas around them, until it stops: then `from` and
/// `at` tell where. Nothing is stored from `end` on. -Infinity is written as null.
template <typename Element>
WriteStop writeElements(const Rows<Element>& rows, int64_t& from, uint8_t*& at, const uint8_t* end);

}  // namespace attention::codec
