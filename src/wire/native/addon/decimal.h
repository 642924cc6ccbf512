// A number of JSON (RFC 8259, section 6) as ±significand·10^exponent.
#pragma once

#include <algorithm>
#include <cstdint>

#include "swar.h"

namespace attention::codec {

struct Decimal {
  /// Below 10^19.
  uint64_t significand;
  int64_t exponent;
  bool isNegative;
  /// Whether digits other than 0 have been dropped: the number is then above significand·10^exponent, and
  /// below the next significand.
  bool isCut;
};

constexpr int kMostDigits = 19;
constexpr uint64_t kPowers[kMostDigits + 1] = {1u,
                                               10u,
                                               100u,
                                               1000u,
                                               10000u,
                                               100000u,
                                               1000000u,
                                               10000000u,
                                               100000000u,
                                               1000000000u,
                                               10000000000u,
                                               100000000000u,
                                               1000000000000u,
                                               10000000000000u,
                                               100000000000000u,
                                               1000000000000000u,
                                               10000000000000000u,
                                               100000000000000000u,
                                               1000000000000000000u,
                                               10000000000000000000u};

inline bool isDigit(uint8_t byte) { return static_cast<uint8_t>(byte - '0') <= 9; }

/// Scans the number at `p`. Returns the place after it, which is before `end`; null where there is no number,
/// or where the bytes end with it. Any number of digits.
const uint8_t* scanAnyDecimal(const uint8_t* p, const uint8_t* end, Decimal& decimal);

/// Scans the exponent of a number, at its letter.
const uint8_t* scanExponent(const uint8_t* p, const uint8_t* end, Decimal& decimal);

/// As scanAnyDecimal, quick for what writers write: at most 7 digits before the point and 23 after it.
[[gnu::always_inline]] inline const uint8_t* scanDecimal(const uint8_t* p, const uint8_t* end,
                                                         Decimal& decimal) {
  // A sign, a block of digits, a point, and three blocks that are looked at.
  constexpr int kWindow = 1 + 8 + 1 + 3 * 8;
  constexpr uint64_t kBlock = 100000000;
  const uint8_t* const start = p;
  if (end - p < kWindow) return scanAnyDecimal(start, end, decimal);
  decimal.isNegative = *p == '-';
  p += decimal.isNegative;
  uint64_t significand = *p - uint64_t{'0'};
  if (p[1] == '.' && significand <= 9) {
    p++;
  } else {
    const uint64_t values = digitValues(load8(p));
    const uint64_t rest = notDigits(values);
    if (rest == 0) return scanAnyDecimal(start, end, decimal);
    const int count = leadingDigits(rest);
    if (count == 0 || (count > 1 && significand == 0)) return scanAnyDecimal(start, end, decimal);
    significand = numberOfLeading(values, count);
    p += count;
  }
  decimal.exponent = 0;
  decimal.isCut = false;
  if (*p == '.') {
    p++;
    const uint64_t first = digitValues(load8(p)), second = digitValues(load8(p + 8));
    const uint64_t restOfFirst = notDigits(first), restOfSecond = notDigits(second);
    int digits;
    if ((restOfFirst | restOfSecond) == 0) {
      // Nearly all float64s have so many.
      const uint64_t third = digitValues(load8(p + 16));
      const uint64_t rest = notDigits(third);
      if (rest == 0 || significand >= 1000) return scanAnyDecimal(start, end, decimal);
      const int count = leadingDigits(rest);
      const uint64_t block = numberOf(first) * kBlock + numberOf(second);
      significand = significand * (kBlock * kBlock) + block;
      if (significand >= kPowers[kMostDigits - count]) return scanAnyDecimal(start, end, decimal);
      significand = significand * kPowers[count] + numberOfLeading(third, count);
      digits = 16 + count;
    } else {
      // Float32s have about eight, sometimes more: nothing foretells a branch.
      const uint64_t isLong = restOfFirst == 0;
      digits = static_cast<int>(isLong << 3) + leadingDigits(restOfFirst | (restOfSecond & -isLong));
      const int count = std::min(digits, 8);
      if (digits == 0 || significand >= kPowers[kMostDigits - digits])
        return scanAnyDecimal(start, end, decimal);
      significand = significand * kPowers[count] + numberOfLeading(first, count);
      significand = significand * kPowers[digits - count] + numberOfLeading(second, digits - count);
    }
    p += digits;
    decimal.exponent = -digits;
  }
  decimal.significand = significand;
  return (*p | 0x20) == 'e' ? scanExponent(p, end, decimal) : p;
}

}  // namespace attention::codec
