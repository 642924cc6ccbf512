// The kernels that have been compiled and that this machine runs.
#pragma once

#include <vector>

#include "call.h"

namespace attention {

/// Kernels for one instruction set and one kind of operands.
struct InstructionSet {
  const char* name;
  const char* precision;
  const Kernels* kernels;
  const Operands* operands;
};

/// What this machine runs, fastest first.
const std::vector<InstructionSet>& instructionSets();

}  // namespace attention
