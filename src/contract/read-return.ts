import { mapColumns, type Returns, type Sizes, type WeightSelection } from '../domain/call.ts';
import type { Limits } from '../domain/limits.ts';
import { problemAt } from '../domain/problem.ts';
import { bytesPerElement, type Precision } from '../domain/tensor.ts';
import type { AttentionOptions } from './schemas/options.ts';
import { range, sharedIndices } from './shapes.ts';

/** What is asked for besides the output, within the budget for maps. */
export function readReturns(
  body: AttentionOptions['return'],
  sizes: Sizes,
  precision: Precision,
  limits: Limits,
): Returns {
  const weights = readWeights(body?.weights ?? false, sizes);
  const logits = body?.logits ?? null;
  const columns = mapColumns(sizes);
  const bytes = bytesPerElement(precision);
  let budget = limits.mapBytes;
  const spend = (pointer: string, elements: number, advice: string) => {
    budget -= elements * bytes;
    if (budget >= 0) return;
    throw problemAt(
      'over_budget',
      pointer,
      `The maps asked for take ${(limits.mapBytes - budget).toLocaleString('en')} bytes; ` +
        `one response may hold ${limits.mapBytes.toLocaleString('en')}. ${advice}`,
    );
  };
  if (weights !== null) {
    const heads = weights.reduce === null ? weights.heads.length : 1;
    const row = weights.topK === null ? columns : 2 * weights.topK;
    const advice = 'Choose heads or queries, reduce over heads, or ask for the top_k keys.';
    spend('/return/weights', sizes.batch * heads * weights.queries.length * row, advice);
  }
  if (logits !== null) {
    spend(
      '/return/logits',
      sizes.batch * sizes.heads * sizes.queries * columns,
      'Send fewer queries at a time.',
    );
  }
  return { weights, logits, logSumExp: body?.log_sum_exp ?? false, presentKeyValue: body?.kv ?? false };
}

function readWeights(
  body: NonNullable<NonNullable<AttentionOptions['return']>['weights']>,
  sizes: Sizes,
): WeightSelection | null {
  if (body === false) return null;
  const chosen = body === true ? {} : body;
  const columns = mapColumns(sizes);
  if (chosen.top_k !== undefined && chosen.top_k > columns) {
    throw problemAt(
      'invalid_option',
      '/return/weights/top_k',
      `Expected at most the ${columns} keys of a row; got ${chosen.top_k}.`,
    );
  }
  return {
    heads: readSelection('/return/weights/heads', chosen.heads, sizes.heads, 'heads'),
    queries: readSelection('/return/weights/queries', chosen.queries, sizes.queries, 'queries'),
    reduce: chosen.reduce ?? null,
    topK: chosen.top_k ?? null,
  };
}

function readSelection(
  pointer: string,
  chosen: number[] | undefined,
  count: number,
  what: string,
): Int32Array {
  if (chosen === undefined) return range(count);
  return sharedIndices(chosen.length, (index) => {
    if (chosen[index] >= count) {
      throw problemAt(
        'invalid_option',
        `${pointer}/${index}`,
        `Expected an index below ${count}, the number of ${what}; got ${chosen[index]}.`,
      );
    }
    return chosen[index];
  });
}
