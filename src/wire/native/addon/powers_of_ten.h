// 128 bits of every power of ten that a float64 can meet.
#pragma once

#include <cstdint>

namespace attention::codec {

/// floor(10^q / 2^(e - 127)) for e = binaryExponentOfTen(q): from 2^127 to below 2^128.
struct PowerOfTen {
  uint64_t high, low;
};

/// 10^q with a significand of 19 digits is 0 in float64 below; shortest decimals need 10^324 (see
/// shortest.h).
constexpr int kLeastPower = -342;
constexpr int kLargestPower = 324;

/// Powers that 128 bits hold exactly: 5^55 < 2^128.
constexpr int kLargestExactPower = 55;

/// floor(log2(10^q)), for |q| <= 400.
inline int binaryExponentOfTen(int q) { return (217706 * q) >> 16; }

inline bool isExactPower(int q) { return q >= 0 && q <= kLargestExactPower; }

class PowersOfTen {
 public:
  PowersOfTen();
  const PowerOfTen& operator[](int q) const { return powers_[q - kLeastPower]; }

 private:
  PowerOfTen powers_[kLargestPower - kLeastPower + 1];
};

/// Computed when the addon is loaded.
extern const PowersOfTen kPowersOfTen;

}  // namespace attention::codec
