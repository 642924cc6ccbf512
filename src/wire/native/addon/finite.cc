#include "finite.h"

#include <cstring>

namespace attention::codec {

namespace {

/// Elements that are looked at with no branch between them, which is what compilers make vectors of.
constexpr int64_t kBlock = 256;

template <typename Element>
struct Exponent;
template <>
struct Exponent<float> {
  using Bits = uint32_t;
  static constexpr Bits kMask = 0x7f800000;
};
template <>
struct Exponent<double> {
  using Bits = uint64_t;
  static constexpr Bits kMask = 0x7ff0000000000000;
};

template <typename Element>
inline bool isFull(const Element& element) {
  using E = Exponent<Element>;
  typename E::Bits bits;
  std::memcpy(&bits, &element, sizeof bits);
  return (bits & E::kMask) == E::kMask;
}

}  // namespace

template <typename Element>
int64_t firstNotFinite(const Element* elements, int64_t count) {
  int64_t at = 0;
  for (; count - at >= kBlock; at += kBlock) {
    typename Exponent<Element>::Bits isAny = 0;
    for (int64_t index = at; index < at + kBlock; index++) isAny |= isFull(elements[index]);
    if (isAny != 0) break;
  }
  for (; at < count; at++) {
    if (isFull(elements[at])) return at;
  }
  return -1;
}

template int64_t firstNotFinite(const float*, int64_t);
template int64_t firstNotFinite(const double*, int64_t);

}  // namespace attention::codec
