// What the readers of calls share.
#pragma once

#include "reader.h"

namespace attention {

/// Elements that a strided tensor reaches: one more than the place of its last element.
inline size_t reach(std::initializer_list<std::pair<size_t, size_t>> axes, size_t last) {
  size_t place = last;
  for (const auto& [size, stride] : axes) {
    if (size == 0 || last == 0) return 0;
    place += product({size - 1, stride});
  }
  return place;
}

/// The strides of a tensor [B, heads, rows, size], and its data.
inline HeadView readView(Reader& job, const char* name, size_t batch, size_t heads, size_t rows,
                         size_t size) {
  HeadView result;
  result.batchStride = job.count(name);
  result.headStride = job.count(name);
  result.rowStride = job.count(name);
  const size_t least =
      reach({{batch, result.batchStride}, {heads, result.headStride}, {rows, result.rowStride}}, size);
  result.data = job.array<float>(name, least);
  return result;
}

/// Reads what the gradients of a call need into it, when all else has been read.
void readGradients(Call& call, Reader& job, size_t panel);

}  // namespace attention
