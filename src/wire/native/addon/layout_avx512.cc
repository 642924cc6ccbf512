#include "layout.h"

namespace attention::codec {

void layOutFloatsAvx512(const Numbers<float>& numbers, const uint64_t* powers, LaidOut<float>& result) {
  layOutFloats(numbers, powers, result);
}

}  // namespace attention::codec
