// The float32 or float64 nearest to a decimal number, ties to even.
//
// A significand times a power of ten in 64 or 128 bits is a product whose leading bits are right but for an
// error that is known, so the float is too unless the halfway point of two floats lies within the error
// (Eisel and Lemire: "Number parsing at a gigabyte per second", Software: Practice and Experience 51, 2021).
#pragma once

#include "decimal.h"
#include "powers_of_ten.h"

namespace attention::codec {

template <typename Float>
struct Format;
template <>
struct Format<float> {
  using Bits = uint32_t;
  static constexpr int kPrecision = 24, kLeastExponent = -126, kMostExponent = 127;
  /// 19 digits times a smaller power of ten are less than half the smallest number, 1 times a larger one is
  /// more than the largest.
  static constexpr int kLeastPower = -64, kMostPower = 38;
};
template <>
struct Format<double> {
  using Bits = uint64_t;
  static constexpr int kPrecision = 53, kLeastExponent = -1022, kMostExponent = 1023;
  static constexpr int kLeastPower = -342, kMostPower = 308;
};

enum class Rounded {
  kFinite,
  kInfinite,
  /// The halfway point of two neighbours is so near that all digits of the number have to be compared with
  /// it.
  kUndecided
};

/// As round(), for what that leaves.
template <typename Float>
Rounded roundSlowly(const Decimal& decimal, typename Format<Float>::Bits& bits);

/// Bits of significand·2^(exponent - precision + 1), the significand below 2^precision only if the exponent
/// is less than the least. The leading bit adds 1 to the exponent, and so does a carry of the rounding.
template <typename Float>
inline typename Format<Float>::Bits assemble(int exponent, uint64_t significand) {
  using F = Format<Float>;
  const uint64_t biased = exponent < F::kLeastExponent ? 0 : exponent - F::kLeastExponent;
  return static_cast<typename F::Bits>((biased << (F::kPrecision - 1)) + significand);
}

/// Rounds the magnitude of a decimal number.
template <typename Float>
inline Rounded round(const Decimal& decimal, typename Format<Float>::Bits& bits) {
  using F = Format<Float>;
  const uint64_t significand = decimal.significand;
  const int64_t q = decimal.exponent;
  bits = 0;
  if (significand == 0) return Rounded::kFinite;
  if (q < F::kLeastPower || q > F::kMostPower || decimal.isCut) return roundSlowly<Float>(decimal, bits);
  const int power = static_cast<int>(q);
  const int zeros = __builtin_clzll(significand);
  const uint64_t ten = kPowersOfTen[power].high;
  // Both have their highest bit set, so the product has its highest there or one below. What both and the
  // lower half of the product lack of the true value is less than 2.
  const uint64_t product =
      static_cast<uint64_t>((static_cast<unsigned __int128>(significand << zeros) * ten) >> 64);
  const int top = static_cast<int>(product >> 63);
  const int exponent = 63 + top - zeros + binaryExponentOfTen(power);
  const int dropped = 63 + top - F::kPrecision;
  const uint64_t half = uint64_t{1} << (dropped - 1);
  const uint64_t rest = product & (2 * half - 1);
  if (rest - (half - 2) <= 2 || exponent < F::kLeastExponent || exponent >= F::kMostExponent) {
    return roundSlowly<Float>(decimal, bits);
  }
  bits = assemble<Float>(exponent, (product >> dropped) + (rest > half));
  return Rounded::kFinite;
}

}  // namespace attention::codec
