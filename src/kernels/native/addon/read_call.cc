// From a job of JavaScript to a Call. What is read here is checked here: each array is as long as the sizes
// and strides of the call can reach, so that the kernels need no check of their own.
#include <algorithm>
#include <cmath>

#include "read_views.h"

namespace attention {

namespace {

std::vector<size_t> readColumns(const Reader& linear, const char* name, size_t heads) {
  const std::vector<int64_t> columns = linear.integers(name);
  if (columns.size() != heads) linear.fail(name, std::to_string(heads) + " columns");
  if (std::any_of(columns.begin(), columns.end(), [](int64_t column) { return column < 0; })) {
    linear.fail(name, "columns from 0");
  }
  return {columns.begin(), columns.end()};
}

Linear readLinear(const Call& call, const Reader& linear, const Reader& memory, const char* packed,
                  size_t inWidth, size_t groupWidth, size_t heads, size_t size, size_t panel) {
  Linear result;
  result.inWidth = linear.count("inWidth");
  result.headSize = linear.count("headSize");
  if (result.inWidth != inWidth) linear.fail("inWidth", std::to_string(inWidth));
  if (result.headSize != size) linear.fail("headSize", std::to_string(size));
  result.groupWidth = groupWidth;
  result.words = groupWidth == 0 ? 0 : product({inWidth / groupWidth, call.words(groupWidth)});
  result.inStride = linear.count("inStride");
  result.outStride = linear.count("outStride");
  result.headColumn = readColumns(linear, "headColumn", heads);
  const size_t lastColumn = *std::max_element(result.headColumn.begin(), result.headColumn.end()) + size;
  result.weight =
      linear.array<float>("weight", reach({{inWidth, result.inStride}, {lastColumn, result.outStride}}, 1));
  if (linear.has("bias")) {
    result.biasColumn = readColumns(linear, "biasColumn", heads);
    const size_t last = *std::max_element(result.biasColumn.begin(), result.biasColumn.end()) + size;
    result.bias = linear.array<float>("bias", last);
  }
  // In the memory of the job, or kept from an earlier one.
  const size_t packedSize = product({panelsOf(result.columns(), panel), panel, result.words});
  result.packed = memory.has(packed) ? memory.array<float>(packed, packedSize)
                                     : linear.member("packed").array<float>("data", packedSize);
  return result;
}

struct SourceNames {
  const char* role;
  const char* packed;
  /// Where the token panels may lie: their own place, or that of a source with the same tokens.
  std::vector<const char*> panels;
};

Source readSource(const Call& call, const Reader& job, const SourceNames& names, size_t heads, size_t rows,
                  size_t size, size_t panel) {
  const Reader source = job.member("call").member(names.role);
  const Reader memory = job.member("memory");
  Source result;
  result.isProjected = source.is("kind", "projected");
  if (result.isProjected) {
    const Reader tokens = source.member("tokens");
    result.tokens.rows = tokens.count("rows");
    result.tokens.width = tokens.count("width");
    if (result.tokens.rows != rows) tokens.fail("rows", std::to_string(rows));
    result.tokens.data = tokens.array<float>("data", product({call.batch, rows, result.tokens.width}));
    const size_t panelSize =
        product({call.batch, panelsOf(rows, panel), call.words(result.tokens.width), panel});
    const auto there = [&](const char* name) { return memory.has(name); };
    const auto place = std::find_if(names.panels.begin(), names.panels.end(), there);
    if (place == names.panels.end()) memory.fail(names.panels[0], "the panels of the tokens");
    result.tokens.panels = memory.array<float>(*place, panelSize);
    result.linear = readLinear(call, source.member("linear"), memory, names.packed, result.tokens.width,
                               result.tokens.width, heads, size, panel);
  }
  if (memory.has(names.role)) {
    result.heads.batchStride = product({heads, rows, size});
    result.heads.headStride = product({rows, size});
    result.heads.rowStride = size;
    result.heads.data = memory.array<float>(names.role, product({call.batch, heads, rows, size}));
  } else {
    if (result.isProjected) memory.fail(names.role, "the prepared heads");
    const Reader view = source.member("view");
    result.heads = readView(view, "data", view, call.batch, heads, rows, size);
  }
  return result;
}

template <typename T>
Broadcast<T> readBroadcast(const Call& call, const Reader& owner, const char* name) {
  if (!owner.has(name)) return {};
  const Reader tensor = owner.member(name);
  Broadcast<T> result;
  result.batchStride = tensor.count("batchStride");
  result.headStride = tensor.count("headStride");
  result.queryStride = tensor.count("queryStride");
  const size_t least = reach(
      {{call.batch, result.batchStride}, {call.heads, result.headStride}, {call.queries, result.queryStride}},
      call.keys);
  result.data = tensor.array<T>("data", least);
  return result;
}

int64_t readWindow(const Reader& visibility, const char* name) {
  return visibility.has(name) ? static_cast<int64_t>(visibility.count(name)) : -1;
}

void readVisibility(Call& call, const Reader& visibility) {
  call.causal = visibility.boolean("causal");
  call.offsets = visibility.integers("offsets");
  call.keyLengths = visibility.integers("keyLengths");
  if (call.offsets.size() != call.batch) visibility.fail("offsets", "one for each sample");
  if (call.keyLengths.size() != call.batch) visibility.fail("keyLengths", "one for each sample");
  for (const int64_t length : call.keyLengths) {
    if (length < 0 || length > static_cast<int64_t>(call.keys))
      visibility.fail("keyLengths", "counts of keys");
  }
  call.windowLeft = readWindow(visibility, "windowLeft");
  call.windowRight = readWindow(visibility, "windowRight");
  call.allow = readBroadcast<uint8_t>(call, visibility, "allow");
  call.forbid = readBroadcast<uint8_t>(call, visibility, "forbid");
  call.keyValid = visibility.optional<uint8_t>("keyValid", product({call.batch, call.keys}));
}

std::vector<size_t> readSelection(const Reader& weights, const char* name, size_t count) {
  std::vector<size_t> selection;
  for (const int64_t index : weights.integers(name)) {
    if (index < 0 || index >= static_cast<int64_t>(count))
      weights.fail(name, "indices below " + std::to_string(count));
    selection.push_back(static_cast<size_t>(index));
  }
  return selection;
}

void readReturns(Call& call, const Reader& returns, const Reader& memory) {
  const size_t rows = product({call.batch, call.heads, call.queries});
  call.logSumExp = memory.optional<float>("log_sum_exp", rows);
  if (returns.has("logits")) {
    call.logits = memory.array<float>("logits", product({rows, call.allKeys()}));
    call.logitStage = returns.is("logits", "raw")      ? LogitStage::kRaw
                      : returns.is("logits", "scaled") ? LogitStage::kScaled
                      : returns.is("logits", "capped") ? LogitStage::kCapped
                                                       : LogitStage::kMasked;
  }
  if (!returns.has("weights")) return;
  const Reader weights = returns.member("weights");
  call.selectedHeads = readSelection(weights, "heads", call.heads);
  call.selectedQueries = readSelection(weights, "queries", call.queries);
  if (weights.has("reduce")) call.reduce = weights.is("reduce", "max") ? Reduce::kMax : Reduce::kMean;
  const size_t slots = call.reduce == Reduce::kNone ? call.selectedHeads.size() : 1;
  const size_t selected = product({call.batch, slots, call.selectedQueries.size()});
  if (weights.has("topK")) {
    call.topK = weights.count("topK");
    if (call.topK == 0 || call.topK > call.allKeys()) weights.fail("topK", "a number of keys");
    call.topIndices = memory.array<int32_t>("weights.indices", product({selected, call.topK}));
    call.topValues = memory.array<float>("weights.values", product({selected, call.topK}));
  } else {
    call.weights = memory.array<float>("weights", product({selected, call.allKeys()}));
  }
}

}  // namespace

Call readCall(const Reader& job, size_t panel, const Operands& operands) {
  const Reader input = job.member("call");
  const Reader memory = job.member("memory");
  const Reader sizes = input.member("sizes");
  Call call;
  call.operands = &operands;
  call.batch = sizes.count("batch");
  call.queries = sizes.count("queries");
  call.keys = sizes.count("keys");
  call.past = sizes.count("past");
  call.extras = sizes.count("extras");
  call.heads = sizes.count("heads");
  call.kvHeads = sizes.count("kvHeads");
  call.headSize = sizes.count("headSize");
  call.valueHeadSize = sizes.count("valueHeadSize");
  call.outputWidth = sizes.count("outputWidth");
  if (call.batch == 0 || call.heads == 0 || call.headSize == 0 || call.valueHeadSize == 0) {
    sizes.fail("batch, heads and head sizes", "at least 1");
  }
  if (call.kvHeads == 0 || call.heads % call.kvHeads != 0) sizes.fail("kvHeads", "a divisor of heads");
  if (call.past > call.keys) sizes.fail("past", "at most keys");

  const size_t fresh = call.keys - call.past;
  call.query = readSource(call, job, {"query", "packed.query", {"panels.query"}}, call.heads, call.queries,
                          call.headSize, panel);
  call.key = readSource(call, job, {"key", "packed.key", {"panels.key", "panels.query"}}, call.kvHeads, fresh,
                        call.headSize, panel);
  call.value =
      readSource(call, job, {"value", "packed.value", {"panels.value", "panels.key", "panels.query"}},
                 call.kvHeads, fresh, call.valueHeadSize, panel);
  if (input.has("past")) {
    const Reader key = input.member("past").member("key");
    const Reader value = input.member("past").member("value");
    call.pastKey = readView(key, "data", key, call.batch, call.kvHeads, call.past, call.headSize);
    call.pastValue = readView(value, "data", value, call.batch, call.kvHeads, call.past, call.valueHeadSize);
  } else if (call.past > 0) {
    input.fail("past", "the past keys and values");
  }
  if (input.length("extras") != call.extras) input.fail("extras", "as many as sizes.extras");
  for (uint32_t i = 0; i < call.extras; i++) {
    const Reader extra = input.element("extras", i);
    call.extraKeys.push_back(extra.array<float>("key", product({call.kvHeads, call.headSize})));
    call.extraValues.push_back(extra.array<float>("value", product({call.kvHeads, call.valueHeadSize})));
  }

  const Reader score = input.member("score");
  call.scale = static_cast<float>(score.number("scale"));
  call.softcap = score.has("softcap") ? static_cast<float>(score.number("softcap")) : 0;
  call.bias = readBroadcast<float>(call, score, "bias");
  call.alibiSlopes = score.optional<float>("alibiSlopes", call.heads);
  call.sinks = score.optional<float>("sinks", call.heads);
  readVisibility(call, input.member("visibility"));

  const size_t all = call.allKeys();
  const size_t kvRows = product({call.batch, call.kvHeads});
  const size_t rows = product({call.batch, call.heads, call.queries});
  if (memory.has("native.key_panels")) {
    const size_t panelRows = product({kvRows, panelsOf(all, panel), panel});
    call.keyPanels =
        memory.array<float>("native.key_panels", product({panelRows, call.words(call.headSize)}) + 16);
    call.keyPanels.data = aligned(call.keyPanels);
    call.valueRows =
        memory.array<float>("native.value_rows", product({kvRows, call.words(all), call.valueHeadSize}) + 16);
    call.valueRows.data = aligned(call.valueRows);
    call.poison = memory.array<int32_t>("native.poison", product({kvRows, all}));
    call.keySizes = memory.array<float>("native.key_sizes", panelRows / panel);
  }
  call.rowMax = memory.array<double>("row_max", rows);
  call.rowSum = memory.array<double>("row_sum", rows);

  const Reader outputStrides = input.member("results").member("output").member("strides");
  call.hasOutputProjection = input.has("outputProjection");
  const size_t headsWidth = product({call.heads, call.valueHeadSize});
  if (call.hasOutputProjection) {
    call.outputProjection = readLinear(call, input.member("outputProjection"), memory, "packed.output",
                                       headsWidth, call.valueHeadSize, 1, call.outputWidth, panel);
    call.concat = memory.array<float>(
        "concat",
        product({call.batch, panelsOf(call.queries, panel), call.outputProjection.words, panel}) + 16);
    call.concat.data = aligned(call.concat);
    call.output = readView(memory, "output", outputStrides, call.batch, 1, call.queries, call.outputWidth);
  } else {
    call.output =
        readView(memory, "output", outputStrides, call.batch, call.heads, call.queries, call.valueHeadSize);
  }
  readReturns(call, input.member("returns"), memory);
  call.status = job.array<int32_t>("status", 4).data;
  if (input.has("gradOutput")) {
    if (operands.perWord != 1) input.fail("gradOutput", "no gradients in this precision");
    readGradients(call, job, panel);
  }
  return call;
}

}  // namespace attention
