#include "steps.h"

#include <algorithm>

#include "operands.h"
#include "spin.h"

namespace attention {

RunningSteps::RunningSteps(const Call& call, const std::vector<Step>& steps)
    : call_(call), stages_(steps.empty() ? 0 : steps.back().stage + 1) {
  for (auto step = steps.begin(); step != steps.end(); step++) {
    Stage& stage = stages_[step->stage];
    if (stage.tiles == 0) stage.from = step;
    stage.to = step + 1;
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
  const auto& [part, index, grid, tileRows] = *step;
  const size_t blocks = step->blocks();
  const size_t head = tile / blocks;
  const size_t from = tile % blocks * tileRows;
  try {
    part(call_, head / grid.heads, head % grid.heads, from, std::min(from + tileRows, grid.rows));
  } catch (...) {
    const std::lock_guard<std::mutex> lock(mutex_);
    error_ = std::current_exception();
    hasFailed_ = true;
  }
}

}  // namespace attention
