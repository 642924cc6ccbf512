#include "rounding.h"

#include <algorithm>

namespace attention::codec {

namespace {

using Uint128 = unsigned __int128;

/// Rounds significand·10^power·2^shift.
template <typename Float>
Rounded roundProduct(uint64_t significand, int power, int shift, typename Format<Float>::Bits& bits) {
  using F = Format<Float>;
  const int zeros = __builtin_clzll(significand);
  const PowerOfTen& ten = kPowersOfTen[power];
  const Uint128 low = static_cast<Uint128>(significand << zeros) * ten.low;
  // The highest 128 of 192 bits. What is missing is less than 1, and less than 2 where the power is not
  // exact.
  const Uint128 product = static_cast<Uint128>(significand << zeros) * ten.high + (low >> 64);
  const bool isExact = isExactPower(power);
  const bool hasMore = static_cast<uint64_t>(low) != 0;
  const int top = static_cast<int>(product >> 127);
  const int exponent = 63 + top - zeros + binaryExponentOfTen(power) + shift;
  const int kept = F::kPrecision - std::max(F::kLeastExponent - exponent, 0);
  bits = 0;
  if (kept < 0) return Rounded::kFinite;
  const int dropped = 127 + top - kept;
  const Uint128 half = static_cast<Uint128>(1) << (dropped - 1);
  const Uint128 rest = product & (2 * half - 1);
  uint64_t rounded = dropped == 128 ? 0 : static_cast<uint64_t>(product >> dropped);
  if (!isExact && rest < half && half - rest <= 2) return Rounded::kUndecided;
  if (rest > half || (rest == half && (!isExact || hasMore || rounded % 2 == 1))) rounded++;
  bits = assemble<Float>(exponent, rounded);
  return bits < assemble<Float>(F::kMostExponent + 1, uint64_t{1} << (F::kPrecision - 1))
             ? Rounded::kFinite
             : Rounded::kInfinite;
}

/// Rounds significand·10^power.
template <typename Float>
Rounded roundExactly(uint64_t significand, int power, typename Format<Float>::Bits& bits) {
  // 5^27 < 2^64 < 5^28: a significand that 5^-power divides is a whole number of a power of two. All halfway
  // points of 19 digits are such.
  if (power < 0 && power >= -27) {
    uint64_t five = 1;
    for (int i = 0; i < -power; i++) five *= 5;
    if (significand % five == 0) return roundProduct<Float>(significand / five, 0, power, bits);
  }
  return roundProduct<Float>(significand, power, 0, bits);
}

}  // namespace

template <typename Float>
Rounded roundSlowly(const Decimal& decimal, typename Format<Float>::Bits& bits) {
  using F = Format<Float>;
  const auto [significand, exponent, isNegative, isCut] = decimal;
  bits = 0;
  if (significand == 0 || exponent < F::kLeastPower) return Rounded::kFinite;
  if (exponent > F::kMostPower) return Rounded::kInfinite;
  const int power = static_cast<int>(exponent);
  const Rounded rounded = roundExactly<Float>(significand, power, bits);
  if (!isCut || rounded == Rounded::kUndecided) return rounded;
  typename F::Bits above;
  const bool isDecided = roundExactly<Float>(significand + 1, power, above) == rounded && above == bits;
  return isDecided ? rounded : Rounded::kUndecided;
}

template Rounded roundSlowly<float>(const Decimal&, uint32_t&);
template Rounded roundSlowly<double>(const Decimal&, uint64_t&);

}  // namespace attention::codec
