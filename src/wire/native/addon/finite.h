// Looks for numbers that are NaN or infinite: those whose exponent is all ones (IEEE 754).
#pragma once

#include <cstdint>

namespace attention::codec {

/// The first of `count` elements that is not finite, or -1. `Element` is float or double.
template <typename Element>
int64_t firstNotFinite(const Element* elements, int64_t count);

}  // namespace attention::codec
