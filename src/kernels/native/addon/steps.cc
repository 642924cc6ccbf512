#include "steps.h"

#include "operands.h"
#include "spin.h"

namespace attention {

void computeAlone(const Call& call, const std::vector<Step>& steps) {
  const Multiplying multiplying(*call.operands);
  for (const Step& step : steps) {
    const size_t tiles = step.tiles();
    for (size_t tile = 0; tile < tiles; tile++) {
      if (isCancelled(call)) return;
      step.compute(call, tile);
    }
  }
}

RunningSteps::RunningSteps(const Call& call, const std::vector<Step>& steps)
    : call_(call), stages_(steps.empty() ? 0 : steps.back().stage + 1) {
  for (auto step = steps.begin(); step != steps.end(); step++) {
    Stage& stage = stages_[step->stage];
    if (stage.tiles == 0) stage.from = step;
    stage.tiles += step->tiles();
  }
}

void RunningSteps::takePart() noexcept {
  const Multiplying multiplying(*call_.operands);
  for (Stage& stage : stages_) {
    while (!isOver()) {
      const size_t tile = stage.next++;
      if (tile >= stage.tiles) break;
      compute(stage, tile);
      stage.done++;
    }
    for (Spin spin; stage.done < stage.tiles; spin.wait()) {
      if (isOver()) return;
    }
  }
}

void RunningSteps::compute(const Stage& stage, size_t tile) noexcept {
  auto step = stage.from;
  for (; tile >= step->tiles(); step++) tile -= step->tiles();
  try {
    step->compute(call_, tile);
  } catch (...) {
    const std::lock_guard<std::mutex> lock(mutex_);
    error_ = std::current_exception();
    hasFailed_ = true;
  }
}

}  // namespace attention
