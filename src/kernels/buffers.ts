import { type AttentionCall, mapColumns } from '../domain/call.ts';
import { elementCount, elementTypeOf } from '../domain/tensor.ts';
import { headShape, isPrepared, ROLES } from './heads.ts';
import type { BufferPlan } from './kernel.ts';

/**
 * The buffers of the kernels written in TypeScript. Workspace: the prepared heads, the softmax statistics and the
 * concatenated heads. Results: one buffer for each tensor that the call returns, named as in the response. The output
 * comes right behind workspace, where a format puts what stands before it in an answer.
 */
export function planBuffers(call: AttentionCall): Record<string, BufferPlan> {
  const { sizes, returns, results, precision } = call;
  const rows = sizes.batch * sizes.heads * sizes.queries;
  const buffers: Record<string, BufferPlan> = {};
  const real = (elements: number): BufferPlan => ({ type: elementTypeOf(precision), elements });

  for (const role of ROLES) {
    if (!isPrepared(call, role)) continue;
    const shape = headShape(call, role);
    buffers[role] = real(sizes.batch * shape.heads * shape.rows * shape.size);
  }
  // The maximum logit and the denominator of every softmax row, from which maps and gradients are remade.
  buffers.row_max = { type: 'float64', elements: rows };
  buffers.row_sum = { type: 'float64', elements: rows };
  if (call.outputProjection !== null) {
    buffers.concat = real(sizes.batch * sizes.queries * sizes.heads * sizes.valueHeadSize);
  }

  buffers.output = real(elementCount(results.output.shape)!);
  const columns = mapColumns(sizes);
  if (returns.weights !== null) {
    const { heads, queries, reduce, topK } = returns.weights;
    const weightRows = sizes.batch * (reduce === null ? heads.length : 1) * queries.length;
    if (topK === null) buffers.weights = real(weightRows * columns);
    else {
      buffers['weights.indices'] = { type: 'int32', elements: weightRows * topK };
      buffers['weights.values'] = real(weightRows * topK);
    }
  }
  if (returns.logits !== null) buffers.logits = real(rows * columns);
  if (returns.logSumExp) buffers.log_sum_exp = real(rows);
  if (returns.presentKeyValue) {
    buffers.present_key = real(elementCount(results.presentKey.shape)!);
    buffers.present_value = real(elementCount(results.presentValue.shape)!);
  }
  if (call.gradOutput !== null) {
    buffers.row_delta = { type: 'float64', elements: rows };
    buffers.grad_query = real(rows * sizes.headSize);
    const kvRows = sizes.batch * sizes.kvHeads * (sizes.keys - sizes.past);
    buffers.grad_key = real(kvRows * sizes.headSize);
    buffers.grad_value = real(kvRows * sizes.valueHeadSize);
  }
  return buffers;
}
