// Keys and values of a head, brought into the form that the inner loop reads.
#pragma once

#include <algorithm>
#include <cmath>

#include "call.h"
#include "project.h"
#include "scratch.h"

namespace attention::ISA {

/// Lanes of a panel that are filled for `count` rows: whole vectors, which are turned around by tiles, unless
/// a few rows are sooner done one by one.
inline size_t filledLanes(size_t count) {
  constexpr size_t kSingleRows = 4;
  return count <= kSingleRows ? count : panelsOf(count, kLanes) * kLanes;
}

/// The rows K and the panel Vᵀ of `count` keys; their rows V have been packed.
inline void packForGradients(const Call& call, size_t index, size_t first, size_t count,
                             const float* keyRows) {
  const size_t all = call.allKeys();
  const size_t size = call.valueHeadSize;
  std::copy_n(keyRows, count * call.headSize, call.keyRows.data + (index * all + first) * call.headSize);
  const float* values = call.valueRows.data + (index * all + first) * size;
  float* panel = call.valuePanels.data + (index * panelsOf(all, kPanel) * kPanel + first) * size;
  if (count < kPanel) std::fill_n(panel, size * kPanel, 0.0f);
  transpose(values, size, count, size, panel, kPanel);
}

/// Row j of all keys (or values) of a key/value head, wherever it comes from: past, new or extra.
inline const float* rowOf(const Call& call, const HeadView& past, const HeadView& fresh,
                          const std::vector<Span<float>>& extras, size_t size, size_t batch, size_t kvHead,
                          size_t j) {
  if (j < call.past) return past.row(batch, kvHead, j);
  if (j < call.keys) return fresh.row(batch, kvHead, j - call.past);
  return extras[j - call.keys].data + kvHead * size;
}

inline const float* keyRow(const Call& call, size_t batch, size_t kvHead, size_t j) {
  return rowOf(call, call.pastKey, call.key.heads, call.extraKeys, call.headSize, batch, kvHead, j);
}

inline const float* valueRow(const Call& call, size_t batch, size_t kvHead, size_t j) {
  return rowOf(call, call.pastValue, call.value.heads, call.extraValues, call.valueHeadSize, batch, kvHead,
               j);
}

/// Keys [from, to) of one key/value head, wherever they come from, as panels Kᵀ and rows V side by side. Rows
/// that are not finite are marked and replaced by zeros: a forbidden key may hold anything, and 0·NaN is not
/// 0. Whoever sees a marked key reports it. For gradients also as rows K and panels Vᵀ.
inline void packKeyRows(const Call& call, size_t batch, size_t kvHead, size_t from, size_t to) {
  const size_t all = call.allKeys();
  const size_t index = batch * call.kvHeads + kvHead;
  const size_t panels = panelsOf(all, kPanel);
  const size_t size = call.valueHeadSize;
  const Operands& operands = *call.operands;
  static thread_local Scratch keyScratch, panelScratch, valueScratch;
  float* rows = keyScratch.take(kPanel * call.headSize);
  for (size_t first = from; first < to; first += kPanel) {
    const size_t count = std::min<size_t>(kPanel, all - first);
    float* keyWords =
        call.keyPanels.data + (index * panels + first / kPanel) * call.words(call.headSize) * kPanel;
    float* valueWords = call.valueRows.data + (index * call.words(all) + operands.wordsBefore(first)) * size;
    float* panel = operands.arePlain() ? keyWords : panelScratch.take(call.headSize * kPanel);
    float* values = operands.arePlain() ? valueWords : valueScratch.take(kPanel * size);
    // Scores in float32 leave the lanes alone that have no key.
    const size_t filled = operands.arePlain() && !call.hasGradients() ? filledLanes(count) : kPanel;
    const size_t numbers = panelsOf(filled * call.headSize, kLanes) * kLanes;
    std::fill_n(rows, numbers, 0.0f);
    for (size_t i = 0; i < count; i++) {
      const size_t j = first + i;
      const float* key = keyRow(call, batch, kvHead, j);
      const float* value = valueRow(call, batch, kvHead, j);
      const bool finite = fitsOperands(operands, key, call.headSize) && fitsOperands(operands, value, size);
      call.poison.data[index * all + j] = finite ? 0 : 1;
      if (finite) {
        copyRow(key, call.headSize, rows + i * call.headSize);
        copyRow(value, size, values + i * size);
      } else {
        std::fill_n(values + i * size, size, 0.0f);
      }
    }
    transpose(rows, call.headSize, filled, call.headSize, panel, kPanel);
    operands.packLeft(panel, call.headSize, kPanel, keyWords, call.words(call.headSize));
    // The last panel brings what there is of words beyond its keys.
    const size_t end = first + count == all ? call.words(all) : operands.wordsBefore(first + kPanel);
    operands.packLeft(values, count, size, valueWords, end - operands.wordsBefore(first));
    if (call.hasGradients()) packForGradients(call, index, first, count, rows);
    Vec sizes = broadcast(0);
    for (size_t i = 0; i < numbers; i += kLanes) sizes = maximum(sizes, abs(load(rows + i)));
    alignas(64) float lanes[kLanes];
    store(lanes, sizes);
    float largest = *std::max_element(lanes, lanes + kLanes);
    const int32_t* marks = call.poison.data + index * all + first;
    if (std::any_of(marks, marks + count, [](int32_t mark) { return mark != 0; })) largest = INFINITY;
    call.keySizes.data[(batch * panels + first / kPanel) * call.kvHeads + kvHead] = largest;
  }
}

}  // namespace attention::ISA
