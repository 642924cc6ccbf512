// Writes a number as JSON.stringify does (ECMA-262, 6.1.6.1.20): 120, 1.2, 0.012, 1.2e+21, 1.2e-7.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "layout.h"
#include "swar.h"

namespace attention::codec {

/// Numbers of 10^21 and more, and below 10^-6, have an exponent.
constexpr int kLargestPoint = 21, kLeastPoint = -5;

/// Room for a number. The longest has a sign, `0.`, five zeros and 17 digits; a few bytes past the end of one
/// are stored too, for what follows it to write over.
constexpr int kNumberRoom = 40;

constexpr uint64_t kZeros = 0x3030303030303030;

/// How many bytes of digits there are up to the last one that is not 0.
inline int withoutZeros(uint64_t digits) { return digits == 0 ? 0 : 8 - (__builtin_clzll(digits) >> 3); }

/// The digits of a number as text: as many as any float of the format needs, the first one not 0.
template <typename Float>
struct Text;

template <>
struct Text<float> {
  Text(const LaidOut<float>& numbers, int i) {
    const uint64_t low = numbers.low[i];
    count = 1 + withoutZeros(low);
    last = low + kZeros;
    first = last << 8 | (numbers.highest[i] + '0');
  }

  void store(uint8_t* at) const {
    store8(at, first);
    store8(at + 1, last);
  }

  /// The first and the last eight digits.
  uint64_t first, last;
  /// Up to the last one that is not 0.
  int count;
};

template <>
struct Text<double> {
  Text(const LaidOut<double>& numbers, int i) {
    const uint64_t middle = numbers.middle[i], low = numbers.low[i];
    count = 1 + (low == 0 ? withoutZeros(middle) : 8 + withoutZeros(low));
    second = middle + kZeros;
    last = low + kZeros;
    first = second << 8 | (numbers.highest[i] + '0');
  }

  void store(uint8_t* at) const {
    store8(at, first);
    store8(at + 1, second);
    store8(at + 9, last);
  }

  /// Eight digits from the first, from the second, and from the tenth on.
  uint64_t first, second, last;
  int count;
};

inline uint8_t* writeExponent(uint8_t* at, int exponent) {
  *at++ = 'e';
  *at++ = exponent < 0 ? '-' : '+';
  const int magnitude = exponent < 0 ? -exponent : exponent;
  if (magnitude >= 100) *at++ = static_cast<uint8_t>('0' + magnitude / 100);
  if (magnitude >= 10) *at++ = static_cast<uint8_t>('0' + magnitude / 10 % 10);
  *at++ = static_cast<uint8_t>('0' + magnitude % 10);
  return at;
}

/// Writes number i, which is not 0. Returns the place after it.
template <typename Float>
inline uint8_t* writeNumber(uint8_t* at, const LaidOut<Float>& numbers, int i) {
  const Text<Float> text(numbers, i);
  const int point = numbers.point[i];
  if (point >= kLeastPoint && point < text.count && point <= 7) {
    // 0.00123 or 12.3: all digits behind the zeros, or one further, to make room for the point; then the
    // first eight bytes, which both kinds have in a register.
    const bool isBelowOne = point <= 0;
    const int shift = choose<unsigned>(isBelowOne, 2 - point, 1);
    const int whole = choose<unsigned>(isBelowOne, 1, point);
    const uint64_t before = ~uint64_t{0} >> (64 - 8 * choose<unsigned>(isBelowOne, shift, whole));
    const uint64_t start = choose(isBelowOne, kZeros, text.first);
    text.store(at + shift);
    store8(at, (start & before) | ((text.first << (8 * shift)) & ~before));
    at[whole] = '.';
    return at + shift + text.count;
  }
  if (point > 0 && point <= kLargestPoint) {
    if (point < text.count) {
      text.store(at + 1);
      std::memmove(at, at + 1, point);
      at[point] = '.';
      return at + text.count + 1;
    }
    text.store(at);
    std::memset(at + kMostDigitsOf<Float>, '0', kLargestPoint - kMostDigitsOf<Float>);
    return at + point;
  }
  text.store(at + 1);
  *at = at[1];
  at[1] = '.';
  return writeExponent(at + text.count + (text.count > 1), point - 1);
}

}  // namespace attention::codec
