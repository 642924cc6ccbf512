import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import type { Precision, Tensor } from '../../src/domain/tensor.ts';
import {
  asNew,
  keptAnswer,
  layerCall,
  outcomeBy,
  outcomeOf,
  type StoredType,
  startEngine,
  tokensOf,
  WAYS,
} from '../engine/layer-calls.ts';
import { type MhaPlan, mhaPlans, parameters } from './arbitraries.ts';
import { mhaBody } from './bodies.ts';

/*
 * Random layers are called several times over with other tokens: whether a call has been prepared or comes for the first
 * time, its answer is the same to the byte, and so is its refusal.
 */

const { engine, layers } = await startEngine();
afterAll(() => engine.close());

const precisions = fc.constantFrom<Precision[]>('float32', 'float32', 'float64', 'bfloat16');
const choices = fc.record({
  kept: fc.option(precisions, { nil: undefined }),
  precision: fc.option(precisions, { nil: undefined }),
  way: fc.constantFrom(...WAYS),
  stored: fc.constantFrom<StoredType[]>('F32', 'F64', 'F16', 'BF16'),
  encoding: fc.constantFrom('nested', 'flat', 'base64'),
  emptyRows: fc.constantFrom('zero', 'zero', 'error'),
  returns: fc.constantFrom(
    {},
    { weights: true, logits: 'masked', log_sum_exp: true, kv: true },
    { weights: { top_k: 1, queries: [0] } },
    { weights: { reduce: 'max' }, logits: 'raw' },
    { weights: { heads: [1] } },
  ),
});
type Choices = typeof choices extends fc.Arbitrary<infer Value> ? Value : never;

/** What of a body a layer keeps, and what is left for its calls; masks and positions in tensors are left out. */
function split(plan: MhaPlan, { kept, precision, encoding, emptyRows, returns }: Choices) {
  const { options } = plan;
  const rope = options.rope && ({ ...options.rope, queries: 'offset', keys: 'default' } as const);
  const none = { allow: undefined, forbid: undefined, bias: undefined, lengths: false, valid: false };
  const body = mhaBody({ ...plan, options: { ...options, ...none, rope } }, 'float32');
  const { embeddings, context, value_context, projections, layout, heads, kv_heads, ...others } = body;
  const { k_extra, v_extra, zero_attention, alibi_slopes, sinks, rope: angles, ...ofCall } = others;
  const { offset, key_offset, ...ofLayer } = angles ?? {};
  const layer = { projections, layout, heads, kv_heads, k_extra, v_extra, zero_attention };
  const tokens = Object.entries({ embeddings, context, value_context }).flatMap(([name, tensor]) =>
    tensor === undefined ? [] : [[name, tensor.shape] as const],
  );
  return {
    layer: { ...layer, alibi_slopes, sinks, rope: angles && ofLayer, precision: kept },
    call: {
      ...ofCall,
      precision,
      rope: angles && { offset, key_offset },
      empty_rows: emptyRows,
      return: returns,
      response: { encoding },
    },
    shapes: Object.fromEntries(tokens),
  };
}

/** A body as JSON.stringify writes it, with its tensors in flat form. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  if ('data' in value && ArrayBuffer.isView(value.data)) {
    const { shape, data } = value as Tensor;
    return { shape, data: [...data] };
  }
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}

const asJson = (body: object) => JSON.parse(JSON.stringify(plain(body)));

it('answers a known call over other numbers as it would a new one', { timeout: 120_000 }, async () => {
  const RUNS = parameters(150);
  let answered = 0;
  let refused = 0;
  const property = fc.asyncProperty(mhaPlans, choices, async (plan, chosen) => {
    const { layer: body, call, shapes } = split(plan, chosen);
    const layer = asNew(await layers.put('random', asJson(body)));
    const { response, ...options } = call;
    // An inference request says elsewhere how its answer is to be written.
    const given = chosen.way.format === 'kserve' ? options : { ...options, response };
    for (let turn = 0; turn < 5; turn++) {
      const tokens = tokensOf(shapes, plan.seed + turn);
      const request = layerCall(layer, chosen.way, tokens, asJson(given), chosen.stored);
      const expected = await outcomeBy(engine, { ...request, layer: asNew(layer) });
      let isKept = true;
      const outcome = await outcomeOf(() => {
        const bytes = keptAnswer(engine, request);
        isKept = bytes !== null;
        return bytes ?? new Uint8Array(0);
      });
      if ('problem' in outcome) expect(outcome).toEqual(expected);
      else if (isKept) expect(outcome).toEqual(expected);
      if (turn > 1 && isKept) 'problem' in outcome ? refused++ : answered++;
      expect(await outcomeBy(engine, request)).toEqual(expected);
    }
  });
  await fc.assert(property, RUNS);
  // Most calls are small and fit their layer.
  expect(answered / RUNS.numRuns).toBeGreaterThan(1.5);
  expect(refused).toBeGreaterThan(0);
});
