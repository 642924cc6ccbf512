#include "decimal.h"

namespace attention::codec {

namespace {

/// Exponents are clamped to ± this; the number is then 0 or infinite in every format.
constexpr int64_t kMostExponent = 1000000000;

}  // namespace

const uint8_t* scanAnyDecimal(const uint8_t* p, const uint8_t* end, Decimal& decimal) {
  decimal = {0, 0, p < end && *p == '-', false};
  p += decimal.isNegative;
  int digits = 0;
  /// Takes a digit, of which those beyond the 19th are dropped.
  const auto take = [&](uint8_t byte, bool isFraction) {
    const int digit = byte - '0';
    if (digits < kMostDigits) {
      decimal.significand = decimal.significand * 10 + digit;
      digits += decimal.significand != 0;
      decimal.exponent -= isFraction;
    } else {
      decimal.isCut |= digit != 0;
      decimal.exponent += !isFraction;
    }
  };
  if (p >= end || !isDigit(*p)) return nullptr;
  if (*p == '0') {
    p++;
  } else {
    for (; p < end && isDigit(*p); p++) take(*p, false);
  }
  if (p < end && *p == '.') {
    const uint8_t* const fraction = ++p;
    for (; p < end && isDigit(*p); p++) take(*p, true);
    if (p == fraction) return nullptr;
  }
  if (p >= end) return nullptr;
  return (*p | 0x20) == 'e' ? scanExponent(p, end, decimal) : p;
}

const uint8_t* scanExponent(const uint8_t* p, const uint8_t* end, Decimal& decimal) {
  p++;
  const bool isNegative = p < end && *p == '-';
  p += p < end && (*p == '-' || *p == '+');
  if (p >= end || !isDigit(*p)) return nullptr;
  int64_t exponent = 0;
  for (; p < end && isDigit(*p); p++) {
    if (exponent < kMostExponent) exponent = exponent * 10 + (*p - '0');
  }
  decimal.exponent += isNegative ? -exponent : exponent;
  return p < end ? p : nullptr;
}

}  // namespace attention::codec
