#include "helpers.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "spin.h"

#if defined(__linux__)
#include <pthread.h>
#endif

namespace attention {

namespace {

/// The name by which helpers go in the system's list of threads.
void introduce() {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "attn-helper");
#endif
}

/// The helpers, who have one work at a time. The first is started with the crew, and each starts the next
/// when there are fewer than have been asked for: so all are as nice as whoever loaded the addon, and not as
/// the workers, for whoever waits for a helper may be the event loop (engine/priority.ts). They never end.
class Crew {
 public:
  Crew() { startNext(); }

  void run(size_t helpers, const std::function<void()>& work) {
    if (helpers == 0 || isBusy_.exchange(true)) {
      work();
      return;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      asked_ = std::max(asked_, helpers);
      work_ = &work;
      wanted_ = helpers;
    }
    woken_.notify_all();
    work();
    // Nobody begins any more, and those that have begun find nothing left.
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      wanted_ = 0;
    }
    Spin spin;
    while (working_ != 0) spin.wait();
    isBusy_ = false;
  }

 private:
  void startNext() {
    try {
      std::thread([this] { help(); }).detach();
      started_++;
    } catch (const std::system_error&) {
      // Without it the work only takes longer.
      asked_ = started_;
    }
  }

  [[noreturn]] void help() {
    introduce();
    for (;;) {
      for (Spin spin; wanted_ == 0 && spin.isShort();) spin.wait();
      const std::function<void()>* work;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        woken_.wait(lock, [this] { return wanted_ != 0; });
        wanted_--;
        working_++;
        work = work_;
        if (started_ < asked_) startNext();
      }
      (*work)();
      working_--;
    }
  }

  std::mutex mutex_;
  std::condition_variable woken_;
  const std::function<void()>* work_ = nullptr;
  size_t started_ = 0, asked_ = 1;
  std::atomic<bool> isBusy_{false};
  /// Helpers that may still begin, and those that have begun.
  std::atomic<size_t> wanted_{0}, working_{0};
};

/// Never destroyed: helpers sleep in it when the process ends.
Crew& crew() {
  static Crew& theCrew = *new Crew;
  return theCrew;
}

}  // namespace

void startHelpers() { crew(); }

void together(size_t helpers, const std::function<void()>& work) { crew().run(helpers, work); }

}  // namespace attention
