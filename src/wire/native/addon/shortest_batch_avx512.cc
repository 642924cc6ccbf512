#include "shortest_batch.h"

namespace attention::codec {

void shortestFloatsAvx512(const Numbers<float>& numbers, const uint64_t* powers, Decimals<float>& decimals) {
  shortestOfAll(numbers, powers, decimals);
}

}  // namespace attention::codec
