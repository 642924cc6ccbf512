// From a job of JavaScript to what the gradients of a call need, with every check.
#include "read_views.h"

namespace attention {

namespace {

/// The gradient of given rows lies as the rows do.
HeadView readGradient(const Call& call, const Reader& job, const char* role, const char* name, size_t heads,
                      size_t rows, size_t size) {
  const Reader source = job.member("call").member(role);
  return readView(job.member("memory"), name, source.member("view"), call.batch, heads, rows, size);
}

Span<float> readAligned(const Reader& memory, const char* name, size_t size) {
  Span<float> span = memory.array<float>(name, size + 16);
  span.data = aligned(span);
  return span;
}

}  // namespace

void readGradients(Call& call, const Reader& job, size_t panel) {
  const Reader input = job.member("call");
  const Reader memory = job.member("memory");
  if (call.query.isProjected || call.key.isProjected || call.value.isProjected || call.hasOutputProjection) {
    input.fail("gradOutput", "given queries, keys and values, and no output projection");
  }
  if (!call.keyPanels) memory.fail("native.key_panels", "the packed keys");
  const size_t fresh = call.keys - call.past;
  const Reader view = input.member("gradOutput");
  call.gradOutput = readView(view, "data", view, call.batch, call.heads, call.queries, call.valueHeadSize);
  call.gradQuery = readGradient(call, job, "query", "grad_query", call.heads, call.queries, call.headSize);
  call.gradKey = readGradient(call, job, "key", "grad_key", call.kvHeads, fresh, call.headSize);
  call.gradValue = readGradient(call, job, "value", "grad_value", call.kvHeads, fresh, call.valueHeadSize);

  const size_t keys = product({call.batch, call.kvHeads, call.allKeys()});
  const size_t keyPanels = product({call.batch, call.kvHeads, panelsOf(call.allKeys(), panel), panel});
  const size_t queryPanels = product({call.batch, call.heads, panelsOf(call.queries, panel)});
  const size_t queries = product({queryPanels, panel});
  call.keyRows = readAligned(memory, "native.key_rows", product({keys, call.headSize}));
  call.valuePanels = readAligned(memory, "native.value_panels", product({keyPanels, call.valueHeadSize}));
  call.queryPanels = readAligned(memory, "native.query_panels", product({queries, call.headSize}));
  call.queryRows = readAligned(memory, "native.query_rows", product({queries, call.headSize}));
  call.querySizes = memory.array<float>("native.query_sizes", queryPanels);
  call.gradPanels = readAligned(memory, "native.grad_panels", product({queries, call.valueHeadSize}));
  call.gradRows = readAligned(memory, "native.grad_rows", product({queries, call.valueHeadSize}));
  call.queryPartials =
      readAligned(memory, "native.query_partials", product({call.partials(), queries, call.headSize}));
  call.deltas = readAligned(memory, "native.deltas", queries);
}

}  // namespace attention
