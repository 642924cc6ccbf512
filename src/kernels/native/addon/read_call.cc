// From the description of a job to a Call. What is read here is checked here: each array is as long as the
// sizes and strides of the call can reach, so that the kernels need no check of their own.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "read_views.h"

namespace attention {

namespace {

std::vector<size_t> readColumns(Reader& job, const char* name, size_t heads) {
  const std::vector<int64_t> columns = job.integers(name);
  if (columns.size() != heads) job.fail(name, std::to_string(heads) + " columns");
  if (std::any_of(columns.begin(), columns.end(), [](int64_t column) { return column < 0; })) {
    job.fail(name, "columns from 0");
  }
  return {columns.begin(), columns.end()};
}

Linear readLinear(const Call& call, Reader& job, size_t inWidth, size_t groupWidth, size_t heads, size_t size,
                  size_t panel) {
  Linear result;
  result.inWidth = job.count("linear.inWidth");
  result.headSize = job.count("linear.headSize");
  if (result.inWidth != inWidth) job.fail("linear.inWidth", std::to_string(inWidth));
  if (result.headSize != size) job.fail("linear.headSize", std::to_string(size));
  result.groupWidth = groupWidth;
  result.rows = groupWidth == 0 ? 0 : product({inWidth / groupWidth, call.weightRows(groupWidth)});
  result.inStride = job.count("linear.inStride");
  result.outStride = job.count("linear.outStride");
  result.headColumn = readColumns(job, "linear.headColumn", heads);
  const size_t lastColumn = *std::max_element(result.headColumn.begin(), result.headColumn.end()) + size;
  result.weight = job.array<float>("linear.weight",
                                   reach({{inWidth, result.inStride}, {lastColumn, result.outStride}}, 1));
  const std::vector<int64_t> biasColumn = job.integers("linear.biasColumn");
  size_t lastBias = 0;
  for (const int64_t column : biasColumn) {
    if (column < 0) job.fail("linear.biasColumn", "columns from 0");
    lastBias = std::max(lastBias, static_cast<size_t>(column) + size);
  }
  result.biasColumn = {biasColumn.begin(), biasColumn.end()};
  result.bias = job.optional<float>("linear.bias", lastBias);
  if (result.bias && biasColumn.size() != heads)
    job.fail("linear.biasColumn", std::to_string(heads) + " columns");
  // In the memory of the job, or kept from an earlier one.
  result.packed =
      job.array<float>("linear.packed", product({panelsOf(result.columns(), panel), panel, result.rows}));
  return result;
}

/// Rows of samples that have panels of their own or, of several samples, share them.
PanelRows readPanelRows(Reader& job, const char* name, size_t batch, size_t rows) {
  return job.boolean(name) ? PanelRows{1, product({batch, rows})} : PanelRows{batch, rows};
}

/// Whether rows that were dealt so can be written one behind the other, sample after sample.
bool followEachOther(const HeadView& view, const PanelRows& dealt, size_t rows) {
  return dealt.rows == rows || view.batchStride == product({rows, view.rowStride});
}

Rotation readRotation(const Call& call, Reader& job, const char* role, size_t heads, size_t rows,
                      size_t size) {
  Rotation result;
  if (!job.boolean("rotation")) return result;
  result.isHalf = job.boolean("rotation.half");
  result.dims = job.count("rotation.dims");
  if (result.dims == 0 || result.dims % 2 != 0 || result.dims > size) {
    job.fail("rotation.dims", "an even number up to " + std::to_string(size));
  }
  result.batchStride = job.count("rotation.batchStride");
  const size_t least = reach({{call.batch, result.batchStride}, {rows, result.dims}}, result.dims);
  result.angles = job.array<double>("rotation.angles", least);
  result.reports = job.boolean("rotation.reports");
  if (job.boolean("rotation.given")) result.given = readView(job, role, call.batch, heads, rows, size);
  return result;
}

Source readSource(const Call& call, Reader& job, const char* role, size_t heads, size_t rows, size_t size,
                  size_t panel, bool mayRotate) {
  Source result;
  result.isProjected = job.boolean(role);
  if (result.isProjected) {
    Tokens& tokens = result.tokens;
    tokens.dealt = readPanelRows(job, "tokens.dealt", call.batch, rows);
    tokens.width = job.count("tokens.width");
    tokens.data = job.array<float>("tokens.data", product({call.batch, rows, tokens.width}));
    tokens.panels = job.array<float>("tokens.panels",
                                     product({tokens.dealt.panels(panel), call.words(tokens.width), panel}));
    result.linear = readLinear(call, job, tokens.width, tokens.width, heads, size, panel);
  }
  const size_t kept = job.count("kept");
  if (kept > static_cast<size_t>(Kept::kNothing)) job.fail("kept", "a form of heads");
  result.kept = static_cast<Kept>(kept);
  if (result.kept != Kept::kRows && (!result.isProjected || !call.operands->arePlain())) {
    job.fail("kept", "rows of heads that are given or in bfloat16");
  }
  if (result.kept == Kept::kPanels) {
    result.panels = job.array<float>(role, product({call.batch, heads, panelsOf(rows, panel), panel, size}));
  } else if (result.kept == Kept::kRows) {
    result.heads = readView(job, role, call.batch, heads, rows, size);
    if (mayRotate) result.rotation = readRotation(call, job, role, heads, rows, size);
  }
  const bool isInOrder =
      result.kept == Kept::kRows && followEachOther(result.heads, result.tokens.dealt, rows);
  if (result.isProjected && result.tokens.dealt.rows != rows && !isInOrder) {
    job.fail("tokens.dealt", "panels for each sample, or rows of heads that follow each other");
  }
  return result;
}

template <typename T>
Broadcast<T> readBroadcast(const Call& call, Reader& job, const char* name) {
  Broadcast<T> result;
  result.batchStride = job.count(name);
  result.headStride = job.count(name);
  result.queryStride = job.count(name);
  const size_t least = reach(
      {{call.batch, result.batchStride}, {call.heads, result.headStride}, {call.queries, result.queryStride}},
      call.keys);
  result.data = job.optional<T>(name, least);
  return result;
}

/// Takes padding at the end of a sample for what it is, a shorter length, so that its tiles are skipped as
/// those behind a length are; and where no other key is invalid, nothing needs to look for one.
void cutPadding(Call& call) {
  if (!call.keyValid) return;
  bool isValid = true;
  for (size_t sample = 0; sample < call.batch; sample++) {
    const uint8_t* valid = call.keyValid.data + sample * call.keys;
    int64_t& length = call.keyLengths[sample];
    while (length > 0 && valid[length - 1] == 0) length--;
    isValid = isValid && (length == 0 || std::memchr(valid, 0, length) == nullptr);
  }
  if (isValid) call.keyValid = {};
}

void readVisibility(Call& call, Reader& job) {
  call.causal = job.boolean("visibility.causal");
  call.offsets = job.integers("visibility.offsets");
  call.keyLengths = job.integers("visibility.keyLengths");
  if (call.offsets.size() != call.batch) job.fail("visibility.offsets", "one for each sample");
  if (call.keyLengths.size() != call.batch) job.fail("visibility.keyLengths", "one for each sample");
  for (const int64_t length : call.keyLengths) {
    if (length < 0 || length > static_cast<int64_t>(call.keys))
      job.fail("visibility.keyLengths", "counts of keys");
  }
  call.windowLeft = job.countOrNone("visibility.windowLeft");
  call.windowRight = job.countOrNone("visibility.windowRight");
  call.allow = readBroadcast<uint8_t>(call, job, "visibility.allow");
  call.forbid = readBroadcast<uint8_t>(call, job, "visibility.forbid");
  call.keyValid = job.optional<uint8_t>("visibility.keyValid", product({call.batch, call.keys}));
  cutPadding(call);
}

void readPackedKeys(Call& call, Reader& job, size_t panel) {
  const size_t all = call.allKeys();
  const size_t kvRows = product({call.batch, call.kvHeads});
  const size_t panels = panelsOf(all, panel);
  call.keyPanels =
      job.array<float>("native.key_panels", product({kvRows, panels, panel, call.words(call.headSize)}));
  if (call.key.kept == Kept::kRows) {
    call.valueRows =
        job.array<float>("native.value_rows", product({kvRows, call.words(all), call.valueHeadSize}));
    call.poison = job.array<int32_t>("native.poison", product({kvRows, all}));
  } else if (call.value.heads.rowStride != call.valueHeadSize) {
    job.fail("value", "rows that follow each other");
  }
  call.keySizes =
      job.array<float>("native.key_sizes", product({call.batch, panels, call.keySizeColumns(panel)}));
}

std::vector<size_t> readSelection(Reader& job, const char* name, size_t count) {
  std::vector<size_t> selection;
  for (const int64_t index : job.integers(name)) {
    if (index < 0 || index >= static_cast<int64_t>(count))
      job.fail(name, "indices below " + std::to_string(count));
    selection.push_back(static_cast<size_t>(index));
  }
  return selection;
}

void readReturns(Call& call, Reader& job) {
  const size_t rows = product({call.batch, call.heads, call.queries});
  call.logSumExp = job.optional<float>("log_sum_exp", rows);
  const int64_t stage = job.countOrNone("returns.logits");
  if (stage > static_cast<int64_t>(LogitStage::kMasked)) job.fail("returns.logits", "a stage");
  if (stage >= 0) {
    call.logits = job.array<float>("logits", product({rows, call.allKeys()}));
    call.logitStage = static_cast<LogitStage>(stage);
  }
  if (!job.boolean("returns.weights")) return;
  call.selectedHeads = readSelection(job, "weights.heads", call.heads);
  call.selectedQueries = readSelection(job, "weights.queries", call.queries);
  const size_t reduce = job.count("weights.reduce");
  if (reduce > static_cast<size_t>(Reduce::kMax)) job.fail("weights.reduce", "a reduction");
  call.reduce = static_cast<Reduce>(reduce);
  const int64_t topK = job.countOrNone("weights.topK");
  if (topK == 0 || topK > static_cast<int64_t>(call.allKeys())) job.fail("weights.topK", "a number of keys");
  call.topK = topK < 0 ? 0 : static_cast<size_t>(topK);
  const size_t slots = call.reduce == Reduce::kNone ? call.selectedHeads.size() : 1;
  const size_t selected = product({call.batch, slots, call.selectedQueries.size()});
  const size_t columns = call.topK == 0 ? call.allKeys() : call.topK;
  const size_t elements = product({selected, columns});
  call.weights = job.optional<float>("weights", elements);
  call.topIndices = job.optional<int32_t>("weights.indices", elements);
  call.topValues = job.optional<float>("weights.values", elements);
  const bool hasRoom = call.topK == 0 ? bool(call.weights) : call.topIndices && call.topValues;
  if (!hasRoom) job.fail("weights", "room for them");
  call.makesMapsOnTheWay = job.boolean("weights.onTheWay");
  if (call.makesMapsOnTheWay && (call.topK != 0 || selected != rows))
    job.fail("weights", "those of all rows");
}

}  // namespace

Call readCall(Reader job, size_t panel, const Operands& operands) {
  Call call;
  call.operands = &operands;
  call.batch = job.count("sizes.batch");
  call.queries = job.count("sizes.queries");
  call.keys = job.count("sizes.keys");
  call.past = job.count("sizes.past");
  call.extras = job.count("sizes.extras");
  call.heads = job.count("sizes.heads");
  call.kvHeads = job.count("sizes.kvHeads");
  call.headSize = job.count("sizes.headSize");
  call.valueHeadSize = job.count("sizes.valueHeadSize");
  call.outputWidth = job.count("sizes.outputWidth");
  if (call.batch == 0 || call.heads == 0 || call.headSize == 0 || call.valueHeadSize == 0) {
    job.fail("sizes.batch, heads and head sizes", "at least 1");
  }
  if (call.kvHeads == 0 || call.heads % call.kvHeads != 0) job.fail("sizes.kvHeads", "a divisor of heads");
  if (call.past > call.keys) job.fail("sizes.past", "at most keys");

  const size_t fresh = call.keys - call.past;
  call.query = readSource(call, job, "query", call.heads, call.queries, call.headSize, panel, true);
  call.key = readSource(call, job, "key", call.kvHeads, fresh, call.headSize, panel, true);
  call.value = readSource(call, job, "value", call.kvHeads, fresh, call.valueHeadSize, panel, false);
  const bool hasPast = job.boolean("past");
  if (hasPast) {
    call.pastKey = readView(job, "past.key", call.batch, call.kvHeads, call.past, call.headSize);
    call.pastValue = readView(job, "past.value", call.batch, call.kvHeads, call.past, call.valueHeadSize);
  } else if (call.past > 0) {
    job.fail("past", "the past keys and values");
  }
  for (size_t i = 0; i < call.extras; i++) {
    call.extraKeys.push_back(job.array<float>("extra key", product({call.kvHeads, call.headSize})));
    call.extraValues.push_back(job.array<float>("extra value", product({call.kvHeads, call.valueHeadSize})));
  }

  call.scale = static_cast<float>(job.number("score.scale"));
  call.softcap = static_cast<float>(job.number("score.softcap"));
  call.bias = readBroadcast<float>(call, job, "score.bias");
  call.alibiSlopes = job.optional<float>("score.alibiSlopes", call.heads);
  call.sinks = job.optional<float>("score.sinks", call.heads);
  readVisibility(call, job);

  const bool hasPackedKeys = job.boolean("packed keys");
  if (call.value.kept == Kept::kPanels) job.fail("value", "rows");
  if (call.key.kept != Kept::kRows && (call.past > 0 || call.extras > 0)) {
    job.fail("key", "rows, to be packed with the past and extra ones");
  }
  if (hasPackedKeys ? call.key.kept == Kept::kNothing : call.key.kept == Kept::kPanels) {
    job.fail("key", "a form that goes with the packed keys");
  }
  if (hasPackedKeys) readPackedKeys(call, job, panel);
  const size_t rows = product({call.batch, call.heads, call.queries});
  call.rowMax = job.array<double>("row_max", rows);
  call.rowSum = job.array<double>("row_sum", rows);

  call.hasOutputProjection = job.boolean("outputProjection");
  if (call.hasOutputProjection) {
    const size_t headsWidth = product({call.heads, call.valueHeadSize});
    call.outputProjection = readLinear(call, job, headsWidth, call.valueHeadSize, 1, call.outputWidth, panel);
    call.concatDealt = readPanelRows(job, "concat.dealt", call.batch, call.queries);
    call.concat =
        job.array<float>("concat", product({call.concatDealt.panels(panel),
                                            call.operands->wordsOfRows(call.outputProjection.rows), panel}));
    call.output = readView(job, "output", call.batch, 1, call.queries, call.outputWidth);
    const bool isPlain = call.operands->arePlain();
    if (call.sharesConcatPanels() &&
        !(isPlain && followEachOther(call.output, call.concatDealt, call.queries))) {
      job.fail("concat.dealt", "panels for each sample, or rows in float32 that follow each other");
    }
  } else {
    call.output = readView(job, "output", call.batch, call.heads, call.queries, call.valueHeadSize);
  }
  readReturns(call, job);
  call.status = job.array<int32_t>("status", 4).data;
  call.firstRow = job.count("firstRow");
  if (job.boolean("gradOutput")) readGradients(call, job, panel);
  if (!job.isAtEnd()) job.fail("the description", "no more");
  return call;
}

}  // namespace attention
