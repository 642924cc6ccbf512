// All tiles of a job, by one thread or several.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <vector>

#include "bounds.h"
#include "call.h"

namespace attention {

/// All tiles of a part: every head of every sample, `tileRows` rows at a time. Steps of one stage do not
/// depend on each other; they need all stages before.
struct Step {
  Part part;
  size_t stage;
  Bounds grid;
  size_t tileRows;

  void compute(const Call& call, size_t tile) const {
    const size_t head = tile / blocks(), from = tile % blocks() * tileRows;
    part(call, head / grid.heads, head % grid.heads, from, std::min(from + tileRows, grid.rows));
  }
  size_t blocks() const { return (grid.rows + tileRows - 1) / tileRows; }
  size_t tiles() const { return grid.batch * grid.heads * blocks(); }
};

/// Computes all steps, unless the job is cancelled meanwhile.
void computeAlone(const Call& call, const std::vector<Step>& steps);

/// The steps of a call on their way, stage by stage, until all are done, the job is cancelled, or a tile
/// throws.
class RunningSteps {
 public:
  /// `steps` are ordered by stage.
  RunningSteps(const Call& call, const std::vector<Step>& steps);

  /// Takes tiles that nobody has taken until none is left, and waits for those of others between stages.
  void takePart() noexcept;

  /// Throws what a tile threw, if one did.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct Stage {
    std::vector<Step>::const_iterator from;
    size_t tiles = 0;
    std::atomic<size_t> next{0}, done{0};
  };

  bool isOver() const { return hasFailed_ || isCancelled(call_); }
  void compute(const Stage& stage, size_t tile) noexcept;

  const Call& call_;
  std::vector<Stage> stages_;
  std::mutex mutex_;
  std::exception_ptr error_;
  std::atomic<bool> hasFailed_{false};
};

}  // namespace attention
