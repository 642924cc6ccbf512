#include "write_elements.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "write_number.h"

namespace attention::codec {

namespace {

/// As kNumberRoom, with brackets of four axes and a comma.
constexpr int kElementRoom = kNumberRoom + 4 + 4 + 1;

template <typename Float>
inline uint8_t* writeElement(uint8_t* at, Float element, const LaidOut<Float>& numbers, int i) {
  if (element == 0) {
    *at = '0';
    return at + 1;
  }
  if (element == -INFINITY) {
    std::memcpy(at, "null", 4);
    return at + 4;
  }
  *at = '-';
  return writeNumber(at + (element < 0), numbers, i);
}

/// How many arrays begin with the element.
template <typename Element>
int arraysAt(const Rows<Element>& rows, int64_t element) {
  int64_t block = 1;
  int arrays = 0;
  while (arrays < rows.axes) {
    block *= rows.sizes[rows.axes - 1 - arrays];
    if (element % block != 0) break;
    arrays++;
  }
  return arrays;
}

inline uint8_t* repeat(uint8_t* at, uint8_t byte, int times) {
  for (int i = 0; i < times; i++) *at++ = byte;
  return at;
}

}  // namespace

template <typename Element>
WriteStop writeElements(const Rows<Element>& rows, int64_t& from, uint8_t*& at, const uint8_t* end) {
  int64_t element = from;
  if (element >= rows.count) return WriteStop::kDone;
  const int64_t rowSize = rows.axes == 0 ? rows.count : rows.sizes[rows.axes - 1];
  int64_t rowEnd = element - element % rowSize + rowSize;
  uint8_t* p = at;
  WriteStop stop = WriteStop::kDone;
  while (element < rows.count && stop == WriteStop::kDone) {
    // Each step is of so few instructions that the processor works at several elements at once.
    Numbers<Element> batch = {};
    LaidOut<Element> decimals;
    const int size = static_cast<int>(std::min<int64_t>(kBatch, rows.count - element));
    std::copy_n(rows.elements + element, size, batch);
    layOut(batch, decimals);
    for (int i = 0; i < size; i++, element++) {
      const Element value = batch[i];
      if (!(value < INFINITY)) stop = WriteStop::kNotWritable;
      if (end - p < kElementRoom) stop = WriteStop::kFull;
      if (stop != WriteStop::kDone) break;
      if (element == 0) p = repeat(p, '[', rows.axes);
      p = writeElement(p, value, decimals, i);
      if (element + 1 < rowEnd) {
        *p++ = ',';
        continue;
      }
      rowEnd += rowSize;
      const bool isLast = element + 1 == rows.count;
      const int arrays = isLast ? rows.axes : arraysAt(rows, element + 1);
      p = repeat(p, ']', arrays);
      if (isLast) continue;
      *p++ = ',';
      p = repeat(p, '[', arrays);
    }
  }
  from = element;
  at = p;
  return stop;
}

template WriteStop writeElements<float>(const Rows<float>&, int64_t&, uint8_t*&, const uint8_t*);
template WriteStop writeElements<double>(const Rows<double>&, int64_t&, uint8_t*&, const uint8_t*);

}  // namespace attention::codec
