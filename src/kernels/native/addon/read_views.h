// What the readers of calls share.
#pragma once

#include <cstdint>

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

inline HeadView readView(const Reader& view, const char* data, const Reader& strides, size_t batch,
                         size_t heads, size_t rows, size_t size) {
  HeadView result;
  result.batchStride = strides.count("batchStride");
  result.headStride = strides.count("headStride");
  result.rowStride = strides.count("rowStride");
  const size_t least =
      reach({{batch, result.batchStride}, {heads, result.headStride}, {rows, result.rowStride}}, size);
  result.data = view.array<float>(data, least);
  return result;
}

/// The first place in a buffer that lies at a multiple of 64 bytes; plans leave room for it.
inline float* aligned(Span<float>& span) {
  const auto address = reinterpret_cast<uintptr_t>(span.data);
  return reinterpret_cast<float*>((address + 63) & ~uintptr_t{63});
}

/// Reads what the gradients of a call need into it, when all else has been read.
void readGradients(Call& call, const Reader& job, size_t panel);

}  // namespace attention
