import type { AttentionCall, Broadcast, HeadStrides, HeadView, Indices, Linear } from '../../domain/call.ts';
import { LOGIT_STAGES } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import { headsOf, isHeldToRange, ROLES, type Role } from '../heads.ts';
import type { Job, Memory } from '../kernel.ts';
import type { Rotated } from '../rope.ts';
import type { Layout } from './layout.ts';
import { anglesName, anglesStride } from './rotations.ts';
import { makesMapsOnTheWay, sharesConcatPanels, sharesPanels } from './ways.ts';

/**
 * A job as the addon reads it: its numbers in one array and its arrays in one list, each in the order in which
 * addon/read_call.cc takes them. Looking up a hundred members of objects from C++ takes longer than a small layer.
 */
export interface Description {
  readonly numbers: Float64Array;
  /** null for what is not there. */
  readonly arrays: readonly (ArrayBufferView | null)[];
}

/** What stands for "unbounded" and "none", where every other number is at least 0. */
const NONE = -1;
/** Softcap 0 would leave nothing of a logit, so it can stand for none. */
const NO_SOFTCAP = 0;
const REDUCTIONS = [null, 'mean', 'max'] as const;

/** In what form projected heads are in the memory of the job. */
const KEPT = { rows: 0, panels: 1, nothing: 2 } as const;

/** Numbers of the last description of this thread; grows to the longest. */
let numbers = new Float64Array(256);

class Writer {
  readonly arrays: (ArrayBufferView | null)[] = [];
  #count = 0;

  get numbers(): Float64Array {
    return numbers.subarray(0, this.#count);
  }

  number(value: number): void {
    if (this.#count === numbers.length) {
      const longer = new Float64Array(2 * numbers.length);
      longer.set(numbers);
      numbers = longer;
    }
    numbers[this.#count++] = value;
  }

  boolean(value: boolean): void {
    this.number(value ? 1 : 0);
  }

  /** How many there are, and all of them. */
  list(values: Indices): void {
    this.number(values.length);
    for (let i = 0; i < values.length; i++) this.number(values[i]);
  }

  array(data: ArrayBufferView | null | undefined): void {
    this.arrays.push(data ?? null);
  }

  strides({ batchStride, headStride, rowStride }: HeadStrides): void {
    this.number(batchStride);
    this.number(headStride);
    this.number(rowStride);
  }

  view(view: HeadView): void {
    this.strides(view);
    this.array(view.data);
  }

  broadcast(tensor: Broadcast<RealArray | Uint8Array> | null): void {
    this.number(tensor?.batchStride ?? 0);
    this.number(tensor?.headStride ?? 0);
    this.number(tensor?.queryStride ?? 0);
    this.array(tensor?.data);
  }
}

/** Describes a job. The numbers are overwritten by the next description. */
export function describeJob(job: Job, layout: Layout): Description {
  const { call, memory, status } = job;
  const { sizes, score, visibility } = call;
  const to = new Writer();
  to.number(sizes.batch);
  to.number(sizes.queries);
  to.number(sizes.keys);
  to.number(sizes.past);
  to.number(sizes.extras);
  to.number(sizes.heads);
  to.number(sizes.kvHeads);
  to.number(sizes.headSize);
  to.number(sizes.valueHeadSize);
  to.number(sizes.outputWidth);

  for (const role of ROLES) writeSource(to, job, role, layout);
  to.boolean(call.past !== null);
  if (call.past !== null) {
    to.view(call.past.key);
    to.view(call.past.value);
  }
  for (const { key, value } of call.extras) {
    to.array(key);
    to.array(value);
  }

  to.number(score.scale);
  to.number(score.softcap ?? NO_SOFTCAP);
  to.broadcast(score.bias);
  to.array(score.alibiSlopes);
  to.array(score.sinks);

  to.boolean(visibility.causal);
  to.list(visibility.offsets);
  to.list(visibility.keyLengths);
  to.number(visibility.windowLeft ?? NONE);
  to.number(visibility.windowRight ?? NONE);
  to.broadcast(visibility.allow);
  to.broadcast(visibility.forbid);
  to.array(visibility.keyValid);

  to.boolean(memory['native.key_panels'] !== undefined);
  if (memory['native.key_panels'] !== undefined) {
    to.array(memory['native.key_panels']);
    // Of keys that have been projected to panels, the values are read where they lie.
    if (memory['native.value_rows'] !== undefined) {
      to.array(memory['native.value_rows']);
      to.array(memory['native.poison']);
    }
    to.array(memory['native.key_sizes']);
  }
  to.array(memory.row_max);
  to.array(memory.row_sum);

  to.boolean(call.outputProjection !== null);
  if (call.outputProjection !== null) {
    writeLinear(to, call.outputProjection, memory['packed.output']);
    to.boolean(sharesConcatPanels(call, layout));
    to.array(memory.concat);
  }
  to.strides(call.results.output.strides);
  to.array(memory.output);
  writeReturns(to, call, memory);
  to.array(status);
  to.number(call.firstRow ?? 0);
  to.boolean(call.gradOutput !== null);
  if (call.gradOutput !== null) writeGradients(to, call, call.gradOutput, memory);
  return { numbers: to.numbers, arrays: to.arrays };
}

function writeSource(to: Writer, job: Job, role: Role, layout: Layout): void {
  const source = job.call[role];
  to.boolean(source.kind === 'projected');
  if (source.kind === 'projected') {
    to.boolean(sharesPanels(job.call, source.tokens.rows, layout));
    to.number(source.tokens.width);
    to.array(source.tokens.data);
    to.array(tokenPanels(job.memory, role));
    writeLinear(to, source.linear, job.memory[`packed.${role}`]);
  }
  const panels = job.memory[`native.${role}_panels`];
  if (source.kind === 'given' || job.memory[role] !== undefined) {
    to.number(KEPT.rows);
    to.view(headsOf(job, role));
    if (role !== 'value') writeRotation(to, job, role);
  } else if (panels !== undefined) {
    to.number(KEPT.panels);
    to.array(panels);
  } else {
    to.number(KEPT.nothing);
  }
}

/** How the rows of heads are rotated, and where those are that are copied first; whether they are at all. */
function writeRotation(to: Writer, { call, memory }: Job, role: Rotated): void {
  const { rope } = call;
  to.boolean(rope !== null);
  if (rope === null) return;
  to.boolean(rope.pairing === 'half');
  to.number(rope.dims);
  to.number(anglesStride(call, role));
  to.array(memory[anglesName(role)]);
  to.boolean(isHeldToRange(call, role));
  const source = call[role];
  to.boolean(source.kind === 'given');
  if (source.kind === 'given') to.view(source.view);
}

/** The panels of the tokens: those of the role, or of an earlier one that has the same tokens. */
function tokenPanels(memory: Memory, role: Role): ArrayBufferView | undefined {
  for (let at = ROLES.indexOf(role); at >= 0; at--) {
    const panels = memory[`panels.${ROLES[at]}`];
    if (panels !== undefined) return panels;
  }
  return undefined;
}

function writeLinear(to: Writer, linear: Linear, packed: ArrayBufferView | undefined): void {
  to.number(linear.inWidth);
  to.number(linear.headSize);
  to.number(linear.inStride);
  to.number(linear.outStride);
  to.list(linear.headColumn);
  to.array(linear.weight);
  to.list(linear.bias === null ? [] : linear.biasColumn);
  to.array(linear.bias);
  to.array(packed ?? linear.packed?.data);
}

function writeReturns(to: Writer, call: AttentionCall, memory: Memory): void {
  const { logits, weights } = call.returns;
  to.array(memory.log_sum_exp);
  to.number(logits === null ? NONE : LOGIT_STAGES.indexOf(logits));
  if (logits !== null) to.array(memory.logits);
  to.boolean(weights !== null);
  if (weights === null) return;
  to.list(weights.heads);
  to.list(weights.queries);
  to.number(REDUCTIONS.indexOf(weights.reduce));
  to.number(weights.topK ?? NONE);
  to.array(memory.weights);
  to.array(memory['weights.indices']);
  to.array(memory['weights.values']);
  to.boolean(makesMapsOnTheWay(call));
}

/** The gradient of given rows lies as the rows do. */
function writeGradients(to: Writer, call: AttentionCall, gradOutput: HeadView, memory: Memory): void {
  to.view(gradOutput);
  for (const role of ROLES) {
    const source = call[role];
    if (source.kind === 'projected')
      throw new TypeError(`There are no gradients of projected ${role} heads.`);
    to.strides(source.view);
    to.array(memory[`grad_${role}`]);
  }
  to.array(memory['native.key_rows']);
  to.array(memory['native.value_panels']);
  to.array(memory['native.query_panels']);
  to.array(memory['native.query_rows']);
  to.array(memory['native.query_sizes']);
  to.array(memory['native.grad_panels']);
  to.array(memory['native.grad_rows']);
  to.array(memory['native.query_partials']);
  to.array(memory['native.deltas']);
}
