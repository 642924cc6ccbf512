// How far each part of a call goes.
#pragma once

#include <algorithm>

#include "call.h"

namespace attention {

enum class PartId {
#define X(name) name,
  ATTENTION_PARTS(X)
#undef X
};

/// Samples, heads and rows that a part may be asked for; 0 heads where the call has no such part. Tiles begin
/// with multiples of `unit`.
struct Bounds {
  size_t batch, heads, rows, unit = 1;
};

inline Bounds boundsOf(const Call& call, size_t panel, PartId part) {
  const Bounds none{0, 0, 0};
  const auto tokens = [&](const Source& source) {
    const auto [samples, rows] = source.tokens.dealt;
    return source.isProjected ? Bounds{samples, 1, rows, panel} : none;
  };
  const auto weight = [&](const Linear& linear, bool there) {
    return there ? Bounds{1, 1, linear.columns(), panel} : none;
  };
  const auto blocks = [&](const PanelRows& dealt) {
    return panelsOf(dealt.panels(panel), call.operands->blockPanels);
  };
  const auto projection = [&](const Source& source) {
    const bool isKept = source.isProjected && source.kept != Kept::kNothing;
    return isKept ? Bounds{1, blocks(source.tokens.dealt), source.linear.columns(), panel} : none;
  };
  const auto rows = [&](bool there, size_t heads, size_t count) {
    return there ? Bounds{call.batch, heads, count, panel} : none;
  };
  const auto weights = [&](bool there) {
    const size_t slots = call.reduce == Reduce::kNone ? call.selectedHeads.size() : 1;
    return rows(there && (call.weights || call.topIndices), slots, call.selectedQueries.size());
  };
  // Few queries read the keys where they lie; all else needs them in panels, packed or projected to them.
  const bool hasPanels = call.keyPanels && call.query.kept != Kept::kNothing;
  const auto keeps = [&](Kept form) {
    return call.query.kept == form && call.key.kept == form && call.value.kept == form;
  };
  const bool readsInPlace = call.operands->parts == 1 && keeps(Kept::kRows);
  switch (part) {
    case PartId::packQueryTokens:
      return tokens(call.query);
    case PartId::packKeyTokens:
      return tokens(call.key);
    case PartId::packValueTokens:
      return tokens(call.value);
    case PartId::packQueryWeight:
      return weight(call.query.linear, call.query.isProjected);
    case PartId::packKeyWeight:
      return weight(call.key.linear, call.key.isProjected);
    case PartId::packValueWeight:
      return weight(call.value.linear, call.value.isProjected);
    case PartId::packOutputWeight:
      return weight(call.outputProjection, call.hasOutputProjection);
    case PartId::projectQuery:
      return projection(call.query);
    case PartId::projectKey:
      return projection(call.key);
    case PartId::projectValue:
      return projection(call.value);
    case PartId::packKeys:
      return rows(hasPanels && call.key.kept == Kept::kRows && call.value.kept == Kept::kRows, call.kvHeads,
                  call.allKeys());
    case PartId::rotateQuery:
      return rows(bool(call.query.rotation), call.heads, call.queries);
    case PartId::rotateKey:
      return rows(bool(call.key.rotation), call.kvHeads, call.keys - call.past);
    case PartId::attend:
      return rows(hasPanels, call.heads, call.queries);
    case PartId::attendTokens:
      return keeps(Kept::kNothing) ? Bounds{1, panelsOf(call.batch, call.samplesOfBlock(panel)), call.kvHeads}
                                   : none;
    case PartId::attendFew:
      // A tile has whole heads, whose queries are in one panel.
      return readsInPlace && call.queries <= panel
                 ? Bounds{call.batch, call.kvHeads, call.heads / call.kvHeads * call.queries,
                          std::max<size_t>(1, call.queries)}
                 : none;
    case PartId::projectOutput:
      return call.hasOutputProjection ? Bounds{1, blocks(call.concatDealt), call.outputWidth, panel} : none;
    case PartId::packGradients:
    case PartId::gradQuery:
      return rows(call.hasGradients() && hasPanels, call.heads, call.queries);
    case PartId::gradKeyValue:
      return rows(call.hasGradients() && hasPanels, call.kvHeads, call.allKeys());
    case PartId::writeLogits:
      return rows(hasPanels && call.logits, call.heads, call.queries);
    case PartId::writeFewLogits:
      return rows(readsInPlace && call.logits, call.heads, call.queries);
    case PartId::writeWeights:
      return weights(hasPanels);
    case PartId::writeFewWeights:
      return weights(readsInPlace);
  }
  return none;
}

}  // namespace attention
