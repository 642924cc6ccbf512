// The products of bfloat16 by the tiles of AMX, for the kernels of AVX-512.
//
// A tile register holds 16 rows of 64 bytes. tdpbf16ps adds to C, 16 x 16 sums in float32, the product of a
// group of A, 16 rows of kGroupWords words, and a group of B, kGroupWords rows of 16 words: 8192
// multiply-adds in the time of about 35 instructions of AVX-512 that have 16 each. B is a panel as it is. A
// row of A has its words side by side, so packTiles turns each group around.
#include <algorithm>
#include <utility>

#include "bfloat16.h"
#include "panel.h"
#include "scratch.h"

namespace attention::amxbf16 {

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

/// See Pack: words of group g, row i lie side by side, from (g·columns + i)·kGroupWords on. `wordRows` are
/// whole groups.
void packTiles(const float* rows, size_t count, size_t columns, float* words, size_t wordRows) {
  static thread_local Scratch scratch;
  float* plain = scratch.take(wordRows * columns);
  packPairs(rows, count, columns, plain, wordRows);
  for (size_t p = 0; p < wordRows; p += kGroupWords)
    transpose(plain + p * columns, columns, kGroupWords, columns, words + p * columns, kGroupWords);
}

void packPanel(const float* rows, size_t count, size_t columns, float* words, size_t wordRows) {
  packPairs(rows, count, columns, words, wordRows);
}

/// What the compiler's intrinsics want to be told: which register, by number.
#define LOAD_TILE(tile, from, stride) _tile_loadd(tile, from, (stride) * sizeof(float))

/// As multiplyRows of microkernel.h; rows of A lie kGroupWords apart, its groups aStride·kGroupWords. Sums
/// are in the registers 0 and 1, of rows beyond the first 16 in 2 and 3: products that wait for themselves
/// take 52 cycles instead of 16.
template <bool kAsks, int kVectors, int kRows>
void multiplyTiles(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth, float* c,
                   size_t cStride, Into into, const float* scale, const float* upcoming,
                   size_t upcomingStride) {
  constexpr int kTiles = kRows > kTileRows ? 2 : 1;
  constexpr bool kIsWhole = kRows == kTiles * kTileRows;
  // What a whole tile reads behind the rows of A may be beyond its memory.
  [[maybe_unused]] alignas(64) float rowsOfA[kTiles * kTileRows * kGroupWords];
  if constexpr (!kIsWhole) std::fill_n(rowsOfA, kTiles * kTileRows * kGroupWords, 0.0f);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (size_t k = 0; k < depth; k += kGroupWords) {
    if constexpr (kAsks) {
      const float* next = upcoming + k * upcomingStride;
      for (size_t i = 0; i < kGroupWords * upcomingStride; i += kLine) askForSecondLevel(next + i);
    }
    const float* group = a + k * aStride;
    if constexpr (!kIsWhole) {
      std::copy_n(group, kRows * kGroupWords, rowsOfA);
      group = rowsOfA;
    }
    const float* rowsOfB = b + k * bStride;
    finishStores();
    LOAD_TILE(4, group, kGroupWords);
    LOAD_TILE(6, rowsOfB, bStride);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kVectors == 2) {
      LOAD_TILE(7, rowsOfB + kLanes, bStride);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kTiles == 2) {
      LOAD_TILE(5, group + kTileRows * kGroupWords, kGroupWords);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kVectors == 2) _tile_dpbf16ps(3, 5, 7);
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
template <int kPanels>
void multiplyTileRow(const float* a, size_t aStride, const float* b, size_t panelStride, size_t depth,
                     float* c, Into into) {
  for (int panel = 0; panel < kPanels; panel++) {
    multiplyTiles<false, 2, 1>(a, aStride, b + panel * panelStride, kPanel, depth, c + panel * kPanel, kPanel,
                               into, nullptr, nullptr, 0);
  }
}

template <size_t... kRows>
constexpr Operands operandsOf(std::index_sequence<kRows...>) {
  return {2,
          &packPanel,
          &packTiles,
          kGroupWords,
          {kMostRows, kMostRows},
          {{{&multiplyTiles<false, 1, static_cast<int>(kRows) + 1>...},
            {&multiplyTiles<false, 2, static_cast<int>(kRows) + 1>...}},
           {{&multiplyTiles<true, 1, static_cast<int>(kRows) + 1>...},
            {&multiplyTiles<true, 2, static_cast<int>(kRows) + 1>...}}},
          {&multiplyTileRow<1>, &multiplyTileRow<2>, &multiplyTileRow<3>, &multiplyTileRow<4>},
          &beginTiles,
          &endTiles};
}

}  // namespace

extern const Operands bfloat16;
const Operands bfloat16 = operandsOf(std::make_index_sequence<kMostRows>());

}  // namespace attention::amxbf16
