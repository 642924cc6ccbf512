// From the description of a job to what the gradients of a call need, with every check.
#include "read_views.h"

namespace attention {

void readGradients(Call& call, Reader& job, size_t panel) {
  if (!call.operands->arePlain()) job.fail("gradOutput", "no gradients in this precision");
  if (call.query.isProjected || call.key.isProjected || call.value.isProjected || call.hasOutputProjection) {
    job.fail("gradOutput", "given queries, keys and values, and no output projection");
  }
  if (!call.keyPanels) job.fail("native.key_panels", "the packed keys");
  const size_t fresh = call.keys - call.past;
  call.gradOutput = readView(job, "gradOutput", call.batch, call.heads, call.queries, call.valueHeadSize);
  call.gradQuery = readView(job, "grad_query", call.batch, call.heads, call.queries, call.headSize);
  call.gradKey = readView(job, "grad_key", call.batch, call.kvHeads, fresh, call.headSize);
  call.gradValue = readView(job, "grad_value", call.batch, call.kvHeads, fresh, call.valueHeadSize);

  const size_t keys = product({call.batch, call.kvHeads, call.allKeys()});
  const size_t keyPanels = product({call.batch, call.kvHeads, panelsOf(call.allKeys(), panel), panel});
  const size_t queryPanels = product({call.batch, call.heads, panelsOf(call.queries, panel)});
  const size_t queries = product({queryPanels, panel});
  call.keyRows = job.array<float>("native.key_rows", product({keys, call.headSize}));
  call.valuePanels = job.array<float>("native.value_panels", product({keyPanels, call.valueHeadSize}));
  call.queryPanels = job.array<float>("native.query_panels", product({queries, call.headSize}));
  call.queryRows = job.array<float>("native.query_rows", product({queries, call.headSize}));
  call.querySizes = job.array<float>("native.query_sizes", queryPanels);
  call.gradPanels = job.array<float>("native.grad_panels", product({queries, call.valueHeadSize}));
  call.gradRows = job.array<float>("native.grad_rows", product({queries, call.valueHeadSize}));
  call.queryPartials =
      job.array<float>("native.query_partials", product({call.partials(), queries, call.headSize}));
  call.deltas = job.array<float>("native.deltas", queries);
}

}  // namespace attention
