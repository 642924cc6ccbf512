// Eight ASCII digits at a time in a 64-bit word, the first one in its lowest byte. Little-endian machines
// only, as are all that Node.js runs on but s390x.
#pragma once

#include <cstdint>
#include <cstring>

namespace attention::codec {

inline uint64_t load8(const uint8_t* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

inline void store8(uint8_t* to, uint64_t word) { std::memcpy(to, &word, sizeof word); }

/// condition ? yes : no, and no branch, which compilers make of that. For what nothing foretells.
template <typename Word>
inline Word choose(bool condition, Word yes, Word no) {
  return no ^ ((yes ^ no) & (Word{0} - Word{condition}));
}

/// The values of ASCII digits; 10 or more in the bytes that are none.
inline uint64_t digitValues(uint64_t word) { return word ^ 0x3030303030303030; }

/// From digit values: 0x80 in the bytes that are no digits, up to the first of them. After that a carry may
/// mark more.
inline uint64_t notDigits(uint64_t values) {
  return (values | (values + 0x7676767676767676)) & 0x8080808080808080;
}

/// How many digits lead, 0 to 7: from the result of notDigits, which is not 0.
inline int leadingDigits(uint64_t notDigits) { return __builtin_ctzll(notDigits) >> 3; }

/// The number that eight digit values make: pairs first, then pairs of pairs, then both halves.
inline uint32_t numberOf(uint64_t values) {
  values = (values * (1 + (10 << 8)) >> 8) & 0x00ff00ff00ff00ff;
  values = (values * (1 + (100 << 16)) >> 16) & 0x0000ffff0000ffff;
  return static_cast<uint32_t>(values * (1 + (uint64_t{10000} << 32)) >> 32);
}

/// The number that the first `count` of them make, 0 to 8.
inline uint32_t numberOfLeading(uint64_t values, int count) {
  // Zeros before them in place of what comes after. Two shifts, since one by 64 is not defined.
  const int bits = 32 - 4 * count;
  return numberOf((values << bits) << bits);
}

/// Eight digits of a number below 10^8 as ASCII less '0': both halves, then pairs, then digits. A division by
/// 100 or 10 is a product: 10486 / 2^20 and 103 / 2^10 are near enough for numbers of four and two digits.
inline uint64_t digitsOf(uint32_t value) {
  // Quotient and rest of each part: q + (value - divisor·q)·2^k, in one product.
  const uint64_t high = (uint64_t{value} * 3518437209) >> 45;
  uint64_t word = (uint64_t{value} << 32) - high * ((uint64_t{10000} << 32) - 1);
  const uint64_t hundreds = ((word * 10486) >> 20) & 0x0000007f0000007f;
  word = (word << 16) - hundreds * ((100 << 16) - 1);
  const uint64_t tens = ((word * 103) >> 10) & 0x000f000f000f000f;
  return (word << 8) - tens * ((10 << 8) - 1);
}

}  // namespace attention::codec
