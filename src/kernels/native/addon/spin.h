// Waiting for another thread that is nearly there.
#pragma once

#include <thread>

namespace attention {

/// Pauses between looks at what another thread will change, and lets others run when that takes long.
class Spin {
 public:
  /// Some 50 µs, which is about as long as to sleep and be woken.
  bool isShort() const { return turns_ < kTurns; }

  void wait() {
    if (isShort()) {
      turns_++;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
    } else {
      std::this_thread::yield();
    }
  }

 private:
  static constexpr int kTurns = 1000;
  int turns_ = 0;
};

}  // namespace attention
