#include "powers_of_ten.h"

namespace attention::codec {

namespace {

// 10^q = 5^q·2^q, so 5^q has the same bits. 5^324 has 753 of them, and 2^1024 / 5^342 has 230.
constexpr int kLimbs = 33;

/// A natural number below 2^1056, the least limb first.
struct Natural {
  uint32_t limbs[kLimbs] = {};

  void timesFive() {
    uint64_t carry = 0;
    for (uint32_t& limb : limbs) {
      carry += uint64_t{limb} * 5;
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
  }

  /// Rounds down. Doing so after each of several divisions gives what rounding down once after all of them
  /// does.
  void byFive() {
    uint64_t rest = 0;
    for (int i = kLimbs - 1; i >= 0; i--) {
      rest = (rest << 32) | limbs[i];
      limbs[i] = static_cast<uint32_t>(rest / 5);
      rest %= 5;
    }
  }

  bool bit(int index) const { return index >= 0 && ((limbs[index / 32] >> (index % 32)) & 1) != 0; }

  /// The highest 128 bits, from the first one that is set.
  PowerOfTen leading() const {
    int top = kLimbs * 32 - 1;
    while (!bit(top)) top--;
    PowerOfTen power{0, 0};
    for (int i = 0; i < 64; i++) {
      power.high = (power.high << 1) | uint64_t{bit(top - i)};
      power.low = (power.low << 1) | uint64_t{bit(top - 64 - i)};
    }
    return power;
  }
};

}  // namespace

PowersOfTen::PowersOfTen() {
  Natural power;
  power.limbs[0] = 1;
  for (int q = 0; q <= kLargestPower; q++, power.timesFive()) powers_[q - kLeastPower] = power.leading();
  Natural reciprocal;
  reciprocal.limbs[kLimbs - 1] = 1;
  for (int q = -1; q >= kLeastPower; q--) {
    reciprocal.byFive();
    powers_[q - kLeastPower] = reciprocal.leading();
  }
}

const PowersOfTen kPowersOfTen;

}  // namespace attention::codec
