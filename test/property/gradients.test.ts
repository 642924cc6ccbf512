import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { readGradients } from '../../src/contract/read-attention.ts';
import type { AttentionCall } from '../../src/domain/call.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import type { Precision, RealArray, Tensor } from '../../src/domain/tensor.ts';
import { reference } from '../../src/kernels/reference/kernel.ts';
import { KERNELS } from '../../src/kernels/registry.ts';
import { expectSameBits } from '../support/expect.ts';
import { UNIT_ROUNDOFF } from '../support/oracle/bounded.ts';
import { oracle } from '../support/oracle/oracle.ts';
import { seeded } from '../support/random.ts';
import { run } from '../support/run.ts';
import { parameters, type SdpaPlan, sdpaPlans } from './arbitraries.ts';
import { sdpaBody } from './bodies.ts';
import { TensorMaker } from './tensors.ts';

/*
 * grad_query, grad_key and grad_value against the definition of a derivative: with loss(t) = Σ grad_output·output at
 * x + t·u, the derivative along a random direction u of one input is Σ gradient·u.
 */

const ROLES = ['query', 'key', 'value'] as const;
type Role = (typeof ROLES)[number];

/** Short rows: a derivative adds up over all of them. */
const plans = sdpaPlans.map((plan) => ({
  ...plan,
  queries: plan.queries % 10 || 1,
  newKeys: plan.newKeys % 10 || 1,
}));

let compared = 0;
afterAll(() => console.log(`${compared} directional derivatives of random calls`));

function gradientCall(plan: SdpaPlan, precision: Precision): AttentionCall {
  const body = sdpaBody(plan, precision);
  const heads = plan.kvHeads * plan.group;
  const shape =
    plan.rank === 4
      ? [plan.batch, heads, plan.queries, plan.valueHeadSize]
      : [...(plan.rank === 3 ? [plan.batch] : []), plan.queries, heads * plan.valueHeadSize];
  const grad_output: Tensor<RealArray> = new TensorMaker(precision, seeded(plan.seed + 1)).normal(...shape);
  return readGradients({ ...body, grad_output }, DEFAULT_LIMITS);
}

/** The call with one input moved by t along a direction. */
function moved(call: AttentionCall, role: Role, direction: Float64Array, t: number): AttentionCall {
  const source = call[role];
  if (source.kind !== 'given') throw new TypeError('given heads expected');
  const data = source.view.data.map((x, index) => x + t * direction[index]);
  return { ...call, gradOutput: null, [role]: { ...source, view: { ...source.view, data } } };
}

/** The loss, and how large the sum of its terms is. */
function loss(call: AttentionCall, gradOutput: RealArray): { value: number; magnitude: number } {
  const { output } = run(reference, call).memory;
  let value = 0;
  let magnitude = 0;
  for (let at = 0; at < output.length; at++) {
    value += output[at] * gradOutput[at];
    magnitude += Math.abs(output[at] * gradOutput[at]);
  }
  return { value, magnitude };
}

it('are the derivatives of the output', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(plans, (plan) => {
      const call = gradientCall(plan, 'float64');
      const { memory } = run(reference, call);
      const gradOutput = call.gradOutput!.data;
      expectSameBits('output', memory.output, run(reference, { ...call, gradOutput: null }).memory.output);
      const random = seeded(plan.seed + 2);
      for (const role of ROLES) {
        const gradient = Float64Array.from(memory[`grad_${role}`]);
        const direction = gradient.map(() => random.normal());
        const length = Math.hypot(...direction);
        const unit = direction.map((x) => x / length);
        const slope = gradient.reduce((sum, g, index) => sum + g * unit[index], 0);
        expectDerivative(call, role, unit, gradOutput, slope);
        compared++;
      }
    }),
    parameters(400),
  );
});

/**
 * Central differences at steps h and h/2, extrapolated (Richardson): what is left is of order h⁴ times a fifth
 * derivative, and the rounding of the loss divided by h. The step is chosen among a few, since how fast the derivatives
 * grow differs from call to call; the right one must fit to 1e-8 of the loss's magnitude.
 */
function expectDerivative(
  call: AttentionCall,
  role: Role,
  direction: Float64Array,
  gradOutput: RealArray,
  slope: number,
) {
  const central = (h: number) => {
    const [ahead, behind] = [h, -h].map((t) => loss(moved(call, role, direction, t), gradOutput));
    return { value: (ahead.value - behind.value) / (2 * h), magnitude: ahead.magnitude };
  };
  const errors = [1e-2, 1e-3, 1e-4].map((h) => {
    const [coarse, fine] = [central(h), central(h / 2)];
    const estimate = (4 * fine.value - coarse.value) / 3;
    return Math.abs(estimate - slope) / (1 + Math.abs(slope) + fine.magnitude);
  });
  expect(Math.min(...errors), `derivative along ${role}: ${slope}`).toBeLessThan(1e-8);
}

it('are the same in float32, to within what its rounding explains', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(plans, (plan) => {
      const call = gradientCall(plan, 'float32');
      const exact = run(reference, gradientCall(plan, 'float64')).memory;
      const bound = gradientBound(call);
      for (const kernel of KERNELS) {
        if (kernel.precision !== 'float32' || kernel.supports?.(call) === false) continue;
        const rounded = run(kernel, call).memory;
        for (const role of ROLES) {
          const name = `grad_${role}`;
          const errors = Float64Array.from(rounded[name], (x, at) => Math.abs(x - exact[name][at]));
          const error = Math.max(...errors);
          expect(error, `${name} of ${kernel.name}`).toBeLessThanOrEqual(bound[role]);
        }
      }
    }),
    parameters(300),
  );
});

/**
 * With largest |q|, |k|, |v| and |grad_output| elements q, k, v, g: a weight's gradient is g·v·d_v =: w at most, a
 * logit's 2·w, a score's |scale|·2w, whence dq <= |scale|·2w·k (the weights of a row are 1 together) and
 * dk <= |scale|·2w·q for each of the L·H/G queries that read the key, dv <= g for each of them. Rotations make rows up to
 * √2 longer, tables up to √2·(|cos| + |sin|). Relative to that, errors are e^(2Δ) - 1 for a logit error Δ in the weight, and
 * a rounding for each term of each sum.
 */
function gradientBound(call: AttentionCall): Record<Role, number> {
  const { sizes, score, rope } = call;
  const u = UNIT_ROUNDOFF[call.precision];
  const largest = (values: ArrayLike<number>) =>
    Array.from(values).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const { logits, query, key, value } = bounds(call);
  const g = largest(call.gradOutput!.data);
  const w = g * value * sizes.valueHeadSize;
  const turn =
    rope === null ? 1 : rope.table === null ? 2 : 2 * largest(rope.table.cos) + 2 * largest(rope.table.sin);
  const readers = (sizes.queries * sizes.heads) / sizes.kvHeads;
  const terms = sizes.headSize + sizes.valueHeadSize + sizes.keys + readers + 40;
  const relative = Math.expm1(4 * logits) + terms * u;
  return {
    query: Math.abs(score.scale) * 2 * w * key * turn * relative,
    key: Math.abs(score.scale) * 2 * w * query * turn * readers * relative,
    value: g * readers * relative,
  };
}

/** The largest logit error, and the largest elements of the rotated heads. */
function bounds(call: AttentionCall) {
  const { logits, key } = oracle(call);
  const largest = (values: ArrayLike<number>) =>
    Array.from(values).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const source = (role: Role) => (call[role].kind === 'given' ? largest(call[role].view.data) : 0);
  const past = call.past === null ? 0 : largest(call.past.value.data);
  const worst =
    largest(logits.masked.bound) + 2 * UNIT_ROUNDOFF[call.precision] * maxFinite(logits.masked.value);
  return {
    logits: worst,
    query: source('query'),
    key: largest(key.value),
    value: Math.max(source('value'), past),
  };
}

function maxFinite(values: Float64Array): number {
  return values.reduce((max, x) => (Number.isFinite(x) ? Math.max(max, Math.abs(x)) : max), 0);
}
