// Threads of this process that lend a hand to whoever computes.
#pragma once

#include <cstddef>
#include <functional>

namespace attention {

/// Has a helper ready. To be called by a thread of the niceness that helpers are to have.
void startHelpers();

/// Runs `work` on this thread and, at the same time, on up to `helpers` others: on fewer, or none, where they
/// help somebody else or cannot be started. Returns when all that began have come back. `work` takes what it
/// does from a common stock, since a helper may come late and find nothing left, and throws nothing.
///
/// To wake a helper takes some tens of microseconds of its time and a few of this thread's; one that has just
/// helped stays awake for the next work for as long.
void together(size_t helpers, const std::function<void()>& work);

}  // namespace attention
