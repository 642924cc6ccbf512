// The table of one instruction set. Included by a source file for each set.
#pragma once

#include "attend.h"
#include "attend_tokens.h"
#include "few.h"
#include "few_maps.h"
#include "gradients.h"
#include "keys.h"
#include "maps.h"
#include "project.h"
#include "rotate.h"

namespace attention::ISA {

using C = const Call&;
using N = size_t;

inline void packQueryTokens(C call, N batch, N, N from, N to) {
  packTokens(call, call.query.tokens, batch, from, to);
}
inline void packKeyTokens(C call, N batch, N, N from, N to) {
  packTokens(call, call.key.tokens, batch, from, to);
}
inline void packValueTokens(C call, N batch, N, N from, N to) {
  packTokens(call, call.value.tokens, batch, from, to);
}
inline void packQueryWeight(C call, N, N, N from, N to) { packWeight(call, call.query.linear, from, to); }
inline void packKeyWeight(C call, N, N, N from, N to) { packWeight(call, call.key.linear, from, to); }
inline void packValueWeight(C call, N, N, N from, N to) { packWeight(call, call.value.linear, from, to); }
inline void packOutputWeight(C call, N, N, N from, N to) {
  packWeight(call, call.outputProjection, from, to);
}
inline void projectQuery(C call, N, N block, N from, N to) {
  projectHeads(call, call.query, block, from, to);
}
inline void projectKey(C call, N, N block, N from, N to) {
  projectHeads(call, call.key, block, from, to, call.keySizes);
}
inline void projectValue(C call, N, N block, N from, N to) {
  projectHeads(call, call.value, block, from, to);
}
inline void packKeys(C call, N batch, N kvHead, N from, N to) { packKeyRows(call, batch, kvHead, from, to); }
inline void attend(C call, N batch, N head, N from, N to) {
  attendQueries(call, keptOperands(call, batch, head), batch, head, from, to);
}
inline void projectOutput(C call, N, N block, N from, N to) { projectOutputColumns(call, block, from, to); }
inline void writeWeights(C call, N batch, N slot, N from, N to) {
  writeWeightRows(call, batch, slot, from, to);
}
inline void writeLogits(C call, N batch, N head, N from, N to) {
  writeLogitRows(call, batch, head, from, to);
}
inline void packGradients(C call, N batch, N head, N from, N to) {
  packGradientRows(call, batch, head, from, to);
}
inline void gradQuery(C call, N batch, N head, N from, N to) { gradQueryRows(call, batch, head, from, to); }
inline void gradKeyValue(C call, N batch, N kvHead, N from, N to) {
  gradKeyRows(call, batch, kvHead, from, to);
}

inline void attendTokens(C call, N, N block, N from, N to) { attendTokenBlock(call, block, from, to); }
inline void attendFew(C call, N batch, N kvHead, N from, N to) {
  attendFewQueries(call, batch, kvHead, from, to);
}

inline void rotateQuery(C call, N batch, N head, N from, N to) {
  rotateRows(call, call.query, call.headSize, batch, head, from, to);
}
inline void rotateKey(C call, N batch, N kvHead, N from, N to) {
  rotateRows(call, call.key, call.headSize, batch, kvHead, from, to);
}

extern const Kernels kernels;
const Kernels kernels = {kPanel, &kOperands<Float32>, &kOperands<Bfloat16>,
#define X(name) name,
                         ATTENTION_PARTS(X)
#undef X
};

}  // namespace attention::ISA
