#include "helpers.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "spin.h"

#if defined(__linux__)
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace attention {

namespace {

/// Helpers are as nice as the workers, who compute behind the event loop (engine/priority.ts), and go by a
/// name in the system's list of threads.
void introduceHelper() {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "attn-helper");
  constexpr int kNiceness = 10, kNicest = 19;
  const int ofProcess = getpriority(PRIO_PROCESS, static_cast<id_t>(getpid()));
  setpriority(PRIO_PROCESS, 0, ofProcess + kNiceness < kNicest ? ofProcess + kNiceness : kNicest);
#endif
}

/// The helpers, who have one work at a time. They are started when they are first needed, and never end.
class Crew {
 public:
  void run(size_t helpers, const std::function<void()>& work) {
    if (helpers == 0 || isBusy_.exchange(true)) {
      work();
      return;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      start(helpers);
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
  void start(size_t helpers) {
    try {
      for (; started_ < helpers; started_++) std::thread([this] { help(); }).detach();
    } catch (const std::system_error&) {
      // Without them it only takes longer.
    }
  }

  [[noreturn]] void help() {
    introduceHelper();
    for (;;) {
      for (Spin spin; wanted_ == 0 && spin.isShort();) spin.wait();
      const std::function<void()>* work;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        woken_.wait(lock, [this] { return wanted_ != 0; });
        wanted_--;
        working_++;
        work = work_;
      }
      (*work)();
      working_--;
    }
  }

  std::mutex mutex_;
  std::condition_variable woken_;
  const std::function<void()>* work_ = nullptr;
  size_t started_ = 0;
  std::atomic<bool> isBusy_{false};
  /// Helpers that may still begin, and those that have begun.
  std::atomic<size_t> wanted_{0}, working_{0};
};

}  // namespace

void together(size_t helpers, const std::function<void()>& work) {
  // Never destroyed: helpers sleep in it when the process ends.
  static Crew& crew = *new Crew;
  crew.run(helpers, work);
}

}  // namespace attention
