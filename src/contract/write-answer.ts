import type { Answer, AnswerTensor } from '../domain/answer.ts';
import { type Append, type AttentionCall, mapColumns } from '../domain/call.ts';
import { problemAt } from '../domain/problem.ts';
import { elementTypeOf, type RealArray } from '../domain/tensor.ts';
import { appliedOf } from './applied.ts';

/** What was computed of a call. */
export interface ComputeResult {
  /** The buffers that the kernel worked in by name, among them the results that the call asked for. */
  readonly memory: Readonly<Record<string, RealArray | Int32Array>>;
  /**
   * Bytes right before the output that the kernel needs no more and nobody else has; not given where another call may
   * come into the memory before the answer is out.
   */
  readonly room?: number | undefined;
  /** Queries that may see no key; `first` counts over [B, H, L]. */
  readonly emptyRows: { readonly count: number; readonly first: number | null };
  /** Whether a result is not finite although every input was. */
  readonly overflowed: boolean;
  /** Name of the kernel. */
  readonly kernel: string;
}

/**
 * Says what came of a call: the tensors asked for, the number of empty rows and what was applied. Throws a Problem:
 * `numeric_overflow`, or `empty_row` where the call refuses such rows.
 */
export function writeAnswer(call: AttentionCall, result: ComputeResult): Answer {
  refuseOverflow(call, result);
  refuseEmptyRows(call, result);
  return {
    tensors: answerTensors(call, result),
    envelope: {
      ...(call.append === undefined ? {} : positionsOf(call, call.append)),
      empty_rows: result.emptyRows.count,
      applied: appliedOf(call, result.kernel),
    },
  };
}

/** Where a session stands after an append, and where the first column of its maps does. */
function positionsOf({ sizes }: AttentionCall, { position }: Append): Answer['envelope'] {
  return { position: position + sizes.queries, first_key_position: position - sizes.past };
}

function refuseOverflow(call: AttentionCall, result: ComputeResult): void {
  if (!result.overflowed) return;
  const advice =
    call.precision === 'float64'
      ? 'Scale the inputs down.'
      : 'Scale the inputs down, or send precision "float64".';
  throw problemAt(
    'numeric_overflow',
    '',
    `A number on the way is beyond the range of ${call.precision}. ${advice}`,
  );
}

function refuseEmptyRows(call: AttentionCall, { emptyRows: { count, first } }: ComputeResult): void {
  if (call.emptyRows === 'zero' || first === null) return;
  const { heads, queries } = call.sizes;
  const head = Math.floor(first / queries);
  throw problemAt(
    'empty_row',
    '/empty_rows',
    `${count} row${count === 1 ? '' : 's'} of the map may see no key, and "error" was asked for; the first is ` +
      `sample ${Math.floor(head / heads)}, head ${head % heads}, query ${first % queries}.`,
  );
}

/** The results by their names and shapes. A rank-2 query leaves the batch axis out of every map. */
function answerTensors(call: AttentionCall, { memory, room }: ComputeResult): Record<string, AnswerTensor> {
  const { sizes, returns, results } = call;
  const real = elementTypeOf(call.precision);
  const tensors: Record<string, AnswerTensor> = {};
  const add = (name: string, shape: readonly number[], dtype: AnswerTensor['dtype'] = real) => {
    if (memory[name] !== undefined) tensors[name] = { dtype, shape, data: memory[name] };
  };
  const batched = (...shape: number[]) => (results.rank === 2 ? shape : [sizes.batch, ...shape]);

  tensors.output = { dtype: real, shape: results.output.shape, data: memory.output, room };
  if (returns.weights !== null) {
    const { heads, queries, reduce, topK } = returns.weights;
    const rows = reduce === null ? [heads.length, queries.length] : [queries.length];
    add('weights', batched(...rows, mapColumns(sizes)));
    add('weights.indices', batched(...rows, topK ?? 0), 'int32');
    add('weights.values', batched(...rows, topK ?? 0));
  }
  add('logits', batched(sizes.heads, sizes.queries, mapColumns(sizes)));
  add('log_sum_exp', batched(sizes.heads, sizes.queries));
  add('present_key', results.presentKey.shape);
  add('present_value', results.presentValue.shape);
  if (call.gradOutput !== null) {
    add('grad_query', gradShape(call, 'query'));
    add('grad_key', gradShape(call, 'key'));
    add('grad_value', gradShape(call, 'value'));
  }
  return tensors;
}

function gradShape(call: AttentionCall, role: 'query' | 'key' | 'value'): readonly number[] {
  const source = call[role];
  if (source.kind !== 'given') throw new TypeError('Gradients are those of given queries, keys and values.');
  return source.shape;
}
