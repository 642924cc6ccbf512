// The products of bfloat16 and of float32 by the tiles of AMX, for the kernels of AVX-512.
//
// A tile register holds 16 rows of 64 bytes. tdpbf16ps adds to C, 16 x 16 sums in float32, the product of a
// group of A, 16 rows of kGroupWords words, and a group of B, kGroupWords rows of 16 words: 8192
// multiply-adds in the time of about 35 instructions of AVX-512 that have 16 each. B is a panel as it is. A
// row of A has its words side by side, so packTiles turns each group around.
//
// How float32 becomes bfloat16 is in split_float32.h.
#include <algorithm>
#include <array>
#include <utility>

#include "bfloat16.h"
#include "panel.h"
#include "scratch.h"
#include "split_float32.h"

namespace attention::amx {

namespace {

constexpr int kTileRows = 16;
static_assert(kGroupWords == 16 && kLanes == 16 && 2 * kTileRows == kMostRows);

/// All tiles are whole.
struct alignas(64) TileConfiguration {
  uint8_t palette = 1;
  uint8_t startRow = 0;
  uint8_t reserved[14] = {};
  uint16_t rowBytes[16] = {};
  uint8_t rows[16] = {};
  constexpr TileConfiguration() {
    for (int tile = 0; tile < 8; tile++) {
      rowBytes[tile] = 64;
      rows[tile] = kTileRows;
    }
  }
};
constexpr TileConfiguration kWholeTiles;

void beginTiles() { _tile_loadconfig(&kWholeTiles); }
/// A thread whose tiles are in use costs the system more to put aside.
void endTiles() { _tile_release(); }

/// The compiler does not see that loading a tile reads memory: what is to be read has been stored by now.
inline void finishStores() { asm volatile("" ::: "memory"); }

/// The operands of one precision: kParts numbers in bfloat16 for each number, in rows of words one after the
/// other for each group.
struct Bfloat16 {
  static constexpr size_t kParts = 1;
  /// As where there are no tiles, for sums in the same order.
  static constexpr size_t kDepth = 128;
  static constexpr size_t kBlockPanels = 4;
  static void pack(const float* rows, size_t count, size_t columns, float* words, size_t wordRows) {
    packPairs(rows, count, columns, words, wordRows);
  }
  /// Its products take less time than the softmax, which is fastest alone.
  static constexpr PairWork kBeside = {};
};

/// See Pack: of each kGroupWords rows of words, those of a column side by side, from column·kGroupWords on.
template <typename Operand>
void packTiles(const float* rows, size_t count, size_t columns, float* words, size_t wordRows) {
  static thread_local Scratch scratch;
  float* plain = scratch.take(wordRows * columns);
  Operand::pack(rows, count, columns, plain, wordRows);
  for (size_t p = 0; p < wordRows; p += kGroupWords)
    transpose(plain + p * columns, columns, kGroupWords, columns, words + p * columns, kGroupWords);
}

/// Parts of A and B that are multiplied with each other.
struct PartPair {
  size_t a, b;
};
template <size_t kParts>
constexpr auto kPartPairs = std::array<PartPair, 1>{{{0, 0}}};
/// In an order in which few tiles are loaded again, and what is small is added first.
template <>
constexpr auto kPartPairs<3> = std::array<PartPair, 6>{{{2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 2}, {0, 0}}};

template <int kLines>
[[gnu::always_inline]] inline void askForFirstLevel(const float* p) {
#pragma GCC unroll 16
  for (int i = 0; i < kLines; i++) __builtin_prefetch(p + i * kLine, 0, 3);
}

/// As multiplyRows of microkernel.h; rows of A lie kGroupWords apart, kGroupWords words of it
/// aStride·kGroupWords. Sums are in the tile registers 0 and 1, of rows of A beyond the first 16 in 2 and 3:
/// products that wait for themselves take 52 cycles instead of 16. The compiler wants to be told registers by
/// number.
template <typename Operand, bool kAsks, int kVectors, int kRows>
void multiplyTiles(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth, float* c,
                   size_t cStride, Into into, const float* scale, const float* upcoming,
                   size_t upcomingStride, Beside* beside) {
  constexpr size_t kParts = Operand::kParts;
  constexpr auto& kPairs = kPartPairs<kParts>;
  constexpr int kTiles = kRows > kTileRows ? 2 : 1;
  constexpr bool kIsWhole = kRows == kTiles * kTileRows;
  constexpr size_t kTileBytes = kGroupWords * sizeof(float);
  // What a whole tile reads behind the rows of A may be beyond its memory.
  [[maybe_unused]] alignas(64) float rowsOfA[kTiles * kTileRows * kGroupWords];
  if constexpr (!kIsWhole) std::fill_n(rowsOfA, kTiles * kTileRows * kGroupWords, 0.0f);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (size_t k = 0; k < depth; k += kParts * kGroupWords) {
#pragma GCC unroll 6
    for (size_t pair = 0; pair < kPairs.size(); pair++) {
      if (pair == 0 || kPairs[pair].a != kPairs[pair - 1].a) {
        const float* from = a + (k + kPairs[pair].a * kGroupWords) * aStride;
        if constexpr (!kIsWhole) {
          std::copy_n(from, kRows * kGroupWords, rowsOfA);
          from = rowsOfA;
        }
        finishStores();
        _tile_loadd(4, from, kTileBytes);
        if constexpr (kTiles == 2) _tile_loadd(5, from + kTileRows * kGroupWords, kTileBytes);
      }
      if (pair == 0 || kPairs[pair].b != kPairs[pair - 1].b) {
        const float* from = b + (k + kPairs[pair].b * kGroupWords) * bStride;
        _tile_loadd(6, from, bStride * sizeof(float));
        if constexpr (kVectors == 2) _tile_loadd(7, from + kLanes, bStride * sizeof(float));
      }
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (kVectors == 2) _tile_dpbf16ps(1, 4, 7);
      if constexpr (kTiles == 2) _tile_dpbf16ps(2, 5, 6);
      if constexpr (kTiles == 2 && kVectors == 2) _tile_dpbf16ps(3, 5, 7);
      if (beside != nullptr) beside->step();
      // A panel of A comes from the second-level cache, which tiles would wait for: a sixth of the next
      // group.
      if constexpr (kParts == 3 && kTiles == 2) {
        const float* next = a + (k + (kParts + 2 - pair / 2) * kGroupWords) * aStride;
        askForFirstLevel<kTileRows>(next + pair % 2 * kTileRows * kGroupWords);
      }
      if constexpr (kAsks) {
        const size_t asked = kParts * kGroupWords * upcomingStride / kPairs.size();
        for (size_t i = 0; i < asked; i += kLine) askForSecondLevel(upcoming + i);
        upcoming += asked;
      }
    }
  }
  if (kIsWhole && into == Into::kOverwrite) {
    _tile_stored(0, c, cStride * sizeof(float));
    if constexpr (kVectors == 2) _tile_stored(1, c + kLanes, cStride * sizeof(float));
    if constexpr (kTiles == 2) {
      _tile_stored(2, c + kTileRows * cStride, cStride * sizeof(float));
      if constexpr (kVectors == 2) _tile_stored(3, c + kTileRows * cStride + kLanes, cStride * sizeof(float));
    }
    return;
  }
  alignas(64) float sums[kTiles * kTileRows][kVectors * kLanes];
  constexpr size_t kStride = kVectors * kLanes * sizeof(float);
  _tile_stored(0, sums[0], kStride);
  if constexpr (kVectors == 2) _tile_stored(1, sums[0] + kLanes, kStride);
  if constexpr (kTiles == 2) {
    _tile_stored(2, sums[kTileRows], kStride);
    if constexpr (kVectors == 2) _tile_stored(3, sums[kTileRows] + kLanes, kStride);
  }
  for (int i = 0; i < kRows; i++) {
    for (int v = 0; v < kVectors; v++) {
      float* to = c + i * cStride + v * kLanes;
      Vec sum = load(sums[i] + v * kLanes);
      if (into == Into::kAdd) sum = load(to) + sum;
      if (into == Into::kRescale) sum = fma(load(to), load(scale + v * kLanes), sum);
      store(to, sum);
    }
  }
}

/// As multiplyRow of microkernel.h.
template <typename Operand, int kPanels>
void multiplyTileRow(const float* a, size_t aStride, const float* b, size_t panelStride, size_t depth,
                     float* c, Into into) {
  for (int panel = 0; panel < kPanels; panel++) {
    multiplyTiles<Operand, false, 2, 1>(a, aStride, b + panel * panelStride, kPanel, depth,
                                        c + panel * kPanel, kPanel, into, nullptr, nullptr, 0, nullptr);
  }
}

template <typename Operand, size_t... kRows>
constexpr Operands operandsOf(std::index_sequence<kRows...>) {
  Operands result;
  result.perWord = 2;
  result.parts = Operand::kParts;
  result.pack = &Operand::pack;
  result.packLeft = &packTiles<Operand>;
  result.depth = Operand::kDepth;
  result.blockPanels = Operand::kBlockPanels;
  result.leftStride = kGroupWords;
  result.takesTiles = true;
  result.beside = Operand::kBeside;
  result.groupSteps = kPartPairs<Operand::kParts>.size();
  result.mostRows = {kMostRows, kMostRows};
  result.multiply[0][0] = {&multiplyTiles<Operand, false, 1, static_cast<int>(kRows) + 1>...};
  result.multiply[0][1] = {&multiplyTiles<Operand, false, 2, static_cast<int>(kRows) + 1>...};
  result.multiply[1][0] = {&multiplyTiles<Operand, true, 1, static_cast<int>(kRows) + 1>...};
  result.multiply[1][1] = {&multiplyTiles<Operand, true, 2, static_cast<int>(kRows) + 1>...};
  result.multiplyRow = {&multiplyTileRow<Operand, 1>, &multiplyTileRow<Operand, 2>,
                        &multiplyTileRow<Operand, 3>, &multiplyTileRow<Operand, 4>};
  result.begin = &beginTiles;
  result.end = &endTiles;
  return result;
}

}  // namespace

extern const Operands float32, bfloat16;
const Operands float32 = operandsOf<Float32>(std::make_index_sequence<kMostRows>());
const Operands bfloat16 = operandsOf<Bfloat16>(std::make_index_sequence<kMostRows>());

}  // namespace attention::amx
