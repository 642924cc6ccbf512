// Rotary position embedding: RoFormer, arXiv 2104.09864, equation 34.
#pragma once

#include "call.h"
#include "pack.h"

namespace attention::ISA {

/// Turns the pairs (x[p·kStep], x[p·kStep + apart]) of a row, in float64, rounded once: as in
/// kernels/rope.ts, to the same bits.
template <int kStep>
void rotatePairs(const double* __restrict cosines, const double* __restrict sines, size_t pairs, size_t apart,
                 float* __restrict x) {
  float* __restrict other = x + apart;
  for (size_t pair = 0; pair < pairs; pair++) {
    const double a = x[pair * kStep], b = other[pair * kStep];
    x[pair * kStep] = static_cast<float>(a * cosines[pair] - b * sines[pair]);
    other[pair * kStep] = static_cast<float>(a * sines[pair] + b * cosines[pair]);
  }
}

/// Rotates rows [from, to) of one head, which are copied first where they are given.
inline void rotateRows(const Call& call, const Source& source, size_t size, size_t batch, size_t head,
                       size_t from, size_t to) {
  const Rotation& rotation = source.rotation;
  const size_t pairs = rotation.dims / 2;
  bool finite = true;
  for (size_t i = from; i < to; i++) {
    float* row = source.heads.row(batch, head, i);
    if (rotation.given.data) copyRow(rotation.given.row(batch, head, i), size, row);
    const double* angles = rotation.angles.data + batch * rotation.batchStride + i * rotation.dims;
    if (rotation.isHalf)
      rotatePairs<1>(angles, angles + pairs, pairs, pairs, row);
    else
      rotatePairs<2>(angles, angles + pairs, pairs, 1, row);
    finite = isFinite(row, size) && finite;
  }
  if (!finite && rotation.reports) reportOverflow(call);
}

}  // namespace attention::ISA
