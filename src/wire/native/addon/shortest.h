// The shortest decimal number that reads back as a float32 or float64, of the shortest ones the nearest to
// it, of two as near the even one: the digits of Number::toString (ECMA-262, 6.1.6.1.20).
//
// Decimal numbers read back as x where they lie between the points halfway to the neighbours of x. x and both
// points are scaled by a power of ten that leaves at least two integers between them, but at most one
// multiple of 10. The scaled values are needed as integers only, with one more bit that tells whether there
// is a fraction, and those a product with 64 or 128 bits of the power gives exactly (Giulietti: "The
// Schubfach way to render doubles", 2020).
#pragma once

#include <cstdint>
#include <cstring>

#include "powers_of_ten.h"
#include "rounding.h"
#include "swar.h"

namespace attention::codec {

/// digits·10^exponent. There may be zeros at the end of the digits.
template <typename Float>
struct Shortest {
  typename Format<Float>::Bits digits;
  int exponent;
};

/// A power of ten rounded up, and the integer part of its product with a factor, in whose lowest bit all
/// fractions are.
template <typename Float>
struct Scale;

template <>
struct Scale<float> {
  using Power = uint64_t;
  /// 5^27 < 2^64.
  static constexpr int kLargestExact = 27;
  static Power roundedUp(int power) {
    return kPowersOfTen[power].high + (power < 0 || power > kLargestExact);
  }
  static uint32_t product(Power ten, uint32_t factor) {
    // In halves, which vectors of 64 bits multiply.
    const uint64_t low = (ten & 0xffffffff) * factor;
    const uint64_t product = (ten >> 32) * factor + (low >> 32);
    return static_cast<uint32_t>(product >> 32) | uint32_t{static_cast<uint32_t>(product) > 1};
  }
};

template <>
struct Scale<double> {
  using Power = PowerOfTen;
  static Power roundedUp(int power) {
    PowerOfTen ten = kPowersOfTen[power];
    const bool isCut = !isExactPower(power);
    ten.low += isCut;
    ten.high += isCut && ten.low == 0;
    return ten;
  }
  static uint64_t product(const Power& ten, uint64_t factor) {
    using Uint128 = unsigned __int128;
    const Uint128 product = static_cast<Uint128>(ten.high) * factor +
                            static_cast<uint64_t>((static_cast<Uint128>(ten.low) * factor) >> 64);
    return static_cast<uint64_t>(product >> 64) | (static_cast<uint64_t>(product) > 1);
  }
};

/// All powers rounded up; 10^q at q - kLeastPower.
template <typename Float>
class RoundedPowers {
 public:
  static const typename Scale<Float>::Power* first() {
    static const RoundedPowers powers;
    return powers.powers_;
  }

 private:
  RoundedPowers() {
    for (int q = kLeastPower; q <= kLargestPower; q++) powers_[q - kLeastPower] = Scale<Float>::roundedUp(q);
  }
  typename Scale<Float>::Power powers_[kLargestPower - kLeastPower + 1];
};

/// Of the magnitude of a number that is finite and not 0. Others give something too. `powers` are
/// RoundedPowers. No branches and no types but those of the numbers, so that compilers make vectors of a
/// loop.
template <typename Float>
inline Shortest<Float> shortest(Float number, const typename Scale<Float>::Power* powers) {
  using F = Format<Float>;
  using Bits = typename F::Bits;
  Bits bits;
  std::memcpy(&bits, &number, sizeof bits);
  constexpr Bits kHidden = Bits{1} << (F::kPrecision - 1);
  const Bits fraction = bits & (kHidden - 1);
  const int biased = static_cast<int>(bits << 1 >> F::kPrecision);
  // The number is significand·2^exponent.
  const Bits significand = fraction + Bits{biased != 0} * kHidden;
  const int exponent = biased + (biased == 0) - 1 + F::kLeastExponent - (F::kPrecision - 1);
  // The neighbour below a power of two is half as far away as the one above.
  const Bits isLowerNear = Bits{fraction == 0} & Bits{biased > 1};
  // floor(log10(2^exponent)), of three quarters of that where the interval is so much shorter.
  const int power = (exponent * 1262611 - static_cast<int>(isLowerNear) * 524031) >> 22;
  const int shift = exponent + binaryExponentOfTen(-power) + 1;
  const auto ten = powers[-power - kLeastPower];
  // In quarters.
  const Bits value = Scale<Float>::product(ten, (4 * significand) << shift);
  const Bits low = Scale<Float>::product(ten, (4 * significand - 2 + isLowerNear) << shift) + significand % 2;
  const Bits high = Scale<Float>::product(ten, (4 * significand + 2) << shift) - significand % 2;
  // The multiple of 10, if one is in the interval; else of the integers next to the value the one that is in
  // it, or the nearer of both.
  const Bits floor = value / 4, tens = value / 40;
  const Bits isTenIn = low <= 40 * tens, isNextTenIn = 40 * tens + 40 <= high;
  const Bits isFloorOut = low > 4 * floor, isNextIn = 4 * floor + 4 <= high;
  const Bits isNextNearer = value % 4 + floor % 2 > 2;
  const Bits multiple = 10 * (tens + isNextTenIn);
  const Bits one = floor + (isNextIn & (isFloorOut | isNextNearer));
  return {choose<Bits>(isTenIn != isNextTenIn, multiple, one), power};
}

}  // namespace attention::codec
