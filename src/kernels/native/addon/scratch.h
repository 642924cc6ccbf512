// Working memory of a thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace attention {

/// Working memory of one thread, grown to the largest size asked for.
class Scratch {
 public:
  float* take(size_t count) {
    if (memory_.size() < count + 16) memory_.resize(count + 16);
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return reinterpret_cast<float*>((address + 63) & ~uintptr_t{63});
  }

 private:
  std::vector<float> memory_;
};

}  // namespace attention
