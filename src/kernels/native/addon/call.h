// One attention call as the kernels see it: src/domain/call.ts with pointers. Everything here has been
// checked by read_call.cc: no stride or size leads outside of its array.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "operands.h"

namespace attention {

/// A pointer and the number of elements behind it; null where the caller gave nothing.
template <typename T>
struct Span {
  T* data = nullptr;
  size_t size = 0;
  explicit operator bool() const { return data != nullptr; }
};

/// Element (b, h, i, c) stands at b·batchStride + h·headStride + i·rowStride + c.
struct HeadView {
  Span<float> data;
  size_t batchStride = 0, headStride = 0, rowStride = 0;
  float* row(size_t batch, size_t head, size_t i) const {
    return data.data + batch * batchStride + head * headStride + i * rowStride;
  }
};

// Below, words(n) are the words that n operands take which are neighbours along a sum; see operands.h.

inline size_t panelsOf(size_t rows, size_t panel) { return (rows + panel - 1) / panel; }

/// How the rows of all samples are dealt to panels: each sample begins with a panel of its own or, where
/// samples are short, all are one of B·rows, whose panels they share.
struct PanelRows {
  size_t samples = 0, rows = 0;
  size_t panels(size_t panel) const { return samples * panelsOf(rows, panel); }
};

/// Token vectors [B, rows, width] and, once packed, the same as panels [samples][rows /
/// panel][words(width)][panel].
struct Tokens {
  Span<float> data;
  PanelRows dealt;
  size_t width = 0;
  Span<float> panels;
};

/// y = x·W + b. Element (k, column) of W is weight[k·inStride + column·outStride]; head h owns the columns
/// headColumn[h] … + headSize - 1. `packed` is W once packed: [columns / panel][rows][panel]. The numbers of
/// x come in groups of groupWidth, each of which begins with a row of its own: all of a token, or one head.
struct Linear {
  Span<float> weight;
  size_t inStride = 0, outStride = 0, inWidth = 0, groupWidth = 0, rows = 0, headSize = 0;
  std::vector<size_t> headColumn;
  Span<float> bias;
  std::vector<size_t> biasColumn;
  Span<float> packed;
  size_t columns() const { return headColumn.size() * headSize; }
};

/// In what form heads are kept in the memory of the call. Nothing is, where a tile goes from tokens to
/// attention.
enum class Kept { kRows, kPanels, kNothing };

/// Rotations of the rows of heads (RoPE, see rotate.h). Row i of sample b has the cosines of its pairs and
/// then the sines, `dims` numbers from angles[b·batchStride + i·dims] on.
struct Rotation {
  Span<double> angles;
  size_t batchStride = 0, dims = 0;
  /// Pairs are c and c + dims/2, else 2c and 2c + 1.
  bool isHalf = false;
  /// Whether a number that is not finite is an overflow, whoever sees it.
  bool reports = false;
  /// Heads that are copied to where they are rotated, if any.
  HeadView given;
  explicit operator bool() const { return dims > 0; }
};

/// One of query, key and value: projected from tokens, or given.
struct Source {
  bool isProjected = false;
  Linear linear;
  Tokens tokens;
  Kept kept = Kept::kRows;
  /// Given or prepared rows, [B, heads, rows, size].
  HeadView heads;
  Rotation rotation;
  /// Projected heads as panels, [B][heads][rows / panel][size][panel], zeros beyond the last row.
  Span<float> panels;
};

/// Element (b, h, i, j) of a tensor broadcast to [B, H, L, S] stands at b·batchStride + h·headStride +
/// i·queryStride + j.
template <typename T>
struct Broadcast {
  Span<T> data;
  size_t batchStride = 0, headStride = 0, queryStride = 0;
  explicit operator bool() const { return data.data != nullptr; }
  const T* row(size_t batch, size_t head, size_t query) const {
    return data.data + batch * batchStride + head * headStride + query * queryStride;
  }
};

/// Keys differentiated at a time, and how many such blocks may add to dQ at the same time, each to a sum of
/// its own.
constexpr size_t kGradientBlock = 128, kGradientPartials = 4;

enum class LogitStage { kRaw, kScaled, kCapped, kMasked };
enum class Reduce { kNone, kMean, kMax };

struct Call {
  const Operands* operands = nullptr;
  // Sizes, by the letters of src/domain/call.ts.
  size_t batch = 0, queries = 0, keys = 0, past = 0, extras = 0, heads = 0, kvHeads = 0;
  size_t headSize = 0, valueHeadSize = 0, outputWidth = 0;

  Source query, key, value;
  HeadView pastKey, pastValue;
  std::vector<Span<float>> extraKeys, extraValues;
  bool hasOutputProjection = false;
  Linear outputProjection;
  PanelRows concatDealt;

  // From the dot product to the logit.
  float scale = 1;
  float softcap = 0;  // 0: none
  Broadcast<float> bias;
  Span<float> alibiSlopes, sinks;

  // Visibility. Padding at the end of a sample is a shorter length; keyValid is null where all before it
  // is valid.
  bool causal = false;
  std::vector<int64_t> offsets, keyLengths;
  int64_t windowLeft = -1, windowRight = -1;  // -1: unbounded
  Broadcast<uint8_t> allow, forbid;
  Span<uint8_t> keyValid;

  // Workspace.
  Span<float> keyPanels;  // [B][G][T / panel][words(headSize)][panel], T = keys + extras
  Span<float> valueRows;  // [B][G][words(T)][valueHeadSize]; null where the rows of value are read
  Span<int32_t> poison;   // [B][G][T], 1 where a key or value row is not finite; null where all are
  Span<float> keySizes;   // [B][T / panel][keySizeColumns()], largest |k_c|, Infinity where a row is marked
  Span<float> concat;     // [samples][rows / panel][H][words(valueHeadSize)][panel], as concatDealt says
  Span<double> rowMax, rowSum;

  // Results.
  HeadView output;
  Span<float> logSumExp, logits, weights, topValues;
  Span<int32_t> topIndices;
  LogitStage logitStage = LogitStage::kRaw;
  Reduce reduce = Reduce::kNone;
  std::vector<size_t> selectedHeads, selectedQueries;
  size_t topK = 0;
  /// Whether attention makes the rows of the weights: of all heads and queries, as they are.
  bool makesMapsOnTheWay = false;
  int32_t* status = nullptr;
  /// Rows of [B][H][L] that come before those of this call in the one that reports count for.
  size_t firstRow = 0;

  // Gradients; only where gradOutput is given, and in float32.
  HeadView gradOutput, gradQuery, gradKey, gradValue;
  Span<float> keyRows;        // [B][G][T][headSize]
  Span<float> valuePanels;    // [B][G][T / panel][valueHeadSize][panel]
  Span<float> queryPanels;    // [B][H][L / panel][headSize][panel], scaled
  Span<float> queryRows;      // [B][H][L / panel][panel][headSize], scaled
  Span<float> querySizes;     // [B][H][L / panel], largest Σ|q_c| of a panel
  Span<float> gradPanels;     // [B][H][L / panel][valueHeadSize][panel]
  Span<float> gradRows;       // [B][H][L / panel][panel][valueHeadSize]
  Span<float> deltas;         // [B][H][L / panel][panel]
  Span<float> queryPartials;  // [partials][B][H][L / panel][headSize][panel]

  bool hasGradients() const { return gradOutput.data.data != nullptr; }
  /// Partial sums of dQ: block k of the keys adds to that of number k mod kGradientPartials.
  size_t partials() const {
    return std::min(kGradientPartials, (allKeys() + kGradientBlock - 1) / kGradientBlock);
  }
  size_t words(size_t n) const { return operands->words(n); }
  size_t weightRows(size_t n) const { return operands->weightRows(n); }
  size_t allKeys() const { return keys + extras; }
  size_t kvHeadOf(size_t head) const { return head / (heads / kvHeads); }
  /// Numbers that keySizes has of each panel of keys: one for each head where keys are packed. Where they are
  /// projected to panels, one for each panel of columns of W, which is what a tile computes.
  size_t keySizeColumns(size_t panel) const {
    return key.kept == Kept::kPanels ? panelsOf(kvHeads * headSize, panel) : kvHeads;
  }
  /// Whole samples that fill a block of panels of tokens, where a sample fits in.
  size_t samplesOfBlock(size_t panel) const {
    return std::max<size_t>(
        1, operands->blockPanels / std::max<size_t>(1, panelsOf(std::max(queries, keys), panel)));
  }
  bool sharesConcatPanels() const { return hasOutputProjection && concatDealt.rows != queries; }
  size_t rowIndex(size_t b, size_t h, size_t i) const { return (b * heads + h) * queries + i; }
};

/// The keys [from, to) that causality, window and length leave to a query, which stands at key `position`.
struct KeyRange {
  int64_t from, to, position;
};

/// As src/domain/visibility.ts: the keys that the queries of a sample see; an empty range has from = to.
class KeyRanges {
 public:
  KeyRanges(const Call& call, size_t batch)
      : offset_(call.offsets[batch]),
        length_(call.keyLengths[batch]),
        left_(call.windowLeft >= 0 ? call.windowLeft : kUnbounded),
        right_(
            std::min(call.causal ? 0 : kUnbounded, call.windowRight >= 0 ? call.windowRight : kUnbounded)) {}

  KeyRange of(size_t query) const {
    const int64_t position = static_cast<int64_t>(query) + offset_;
    const int64_t from = std::max<int64_t>(0, position - left_);
    return {from, std::max(from, std::min(length_, position + right_ + 1)), position};
  }

 private:
  /// Farther than any position from any key, and far from where sums end: positions are below 2^53.
  static constexpr int64_t kUnbounded = int64_t{1} << 60;

  const int64_t offset_, length_, left_, right_;
};

inline KeyRange rangeOf(const Call& call, size_t batch, size_t query) {
  return KeyRanges(call, batch).of(query);
}

// Reports of src/kernels/status.ts.
inline bool isCancelled(const Call& call) { return __atomic_load_n(&call.status[0], __ATOMIC_SEQ_CST) != 0; }

inline void reportOverflow(const Call& call) { __atomic_fetch_add(&call.status[3], 1, __ATOMIC_SEQ_CST); }

inline void reportEmptyRow(const Call& call, size_t row) {
  __atomic_fetch_add(&call.status[1], 1, __ATOMIC_SEQ_CST);
  int32_t first = __atomic_load_n(&call.status[2], __ATOMIC_SEQ_CST);
  const auto mine = static_cast<int32_t>(call.firstRow + row);
  while (mine < first && !__atomic_compare_exchange_n(&call.status[2], &first, mine, false, __ATOMIC_SEQ_CST,
                                                      __ATOMIC_SEQ_CST)) {
  }
}

/// The parts of a call that tiles are cut from; the work of each is done for rows [from, to) of one head.
// clang-format off
#define ATTENTION_PARTS(X) \
  X(packQueryTokens)       \
  X(packKeyTokens)         \
  X(packValueTokens)       \
  X(packQueryWeight)       \
  X(packKeyWeight)         \
  X(packValueWeight)       \
  X(packOutputWeight)      \
  X(projectQuery)          \
  X(projectKey)            \
  X(projectValue)          \
  X(packKeys)              \
  X(attend)                \
  X(projectOutput)         \
  X(writeWeights)          \
  X(writeLogits)           \
  X(packGradients)         \
  X(gradQuery)             \
  X(gradKeyValue)          \
  X(attendFew)             \
  X(writeFewWeights)       \
  X(writeFewLogits)        \
  X(attendTokens)          \
  X(rotateQuery)           \
  X(rotateKey)
// clang-format on

using Part = void (*)(const Call&, size_t batch, size_t head, size_t from, size_t to);

/// The kernels of one instruction set, for operands of either kind.
struct Kernels {
  size_t panel;
  const Operands* float32;
  const Operands* bfloat16;
#define X(name) Part name;
  ATTENTION_PARTS(X)
#undef X
};

}  // namespace attention
