// The products of bfloat16 by the instructions of AVX512_BF16, for the kernels of AVX-512.
#include "microkernel.h"

namespace attention::avx512bf16 {

extern const Operands bfloat16;
const Operands bfloat16 = kOperands<Bfloat16>;

}  // namespace attention::avx512bf16
