import { operationNamed } from '../contract/operations.ts';
import { type ComputeResult, writeAnswer } from '../contract/write-answer.ts';
import { Problem } from '../domain/problem.ts';
import type { RealArray, Tensor } from '../domain/tensor.ts';
import type { Decoded } from '../wire/format.ts';
import { encoderNamed } from '../wire/registry.ts';
import { lending } from '../wire/shared-memory.ts';
import { checkBudget, planFlops } from './budget.ts';
import type { ItemResult, RequestItem } from './item.ts';
import { choiceOf } from './kernel-choice.ts';
import { decodeRequest, type ReadRequest, readDecoded } from './request.ts';
import { outcomeOf, serve } from './serve.ts';
import { computeHere, meansFrom, type WholeAnswer } from './whole-call.ts';

interface Member {
  readonly item: RequestItem;
  readonly decoded: Decoded;
  readonly readMs: number;
}

/** Memory of this thread for the tokens of one batch after the other. */
let scratch = new SharedArrayBuffer(0);

/**
 * Does the calls of one layer that have waited for a worker. Those that are alike but for the numbers of their tokens
 * become samples of one call, so that each block of weights passes once through the cache for all of them; a kernel
 * computes a sample to the same bits whatever stands beside it. A call that is special in any way is computed alone,
 * and what is wrong with one does not affect the others.
 */
export function serveBatch(items: readonly RequestItem[]): ItemResult[] {
  const results = new Map<RequestItem, ItemResult>();
  for (const members of groupsOf(items).values()) {
    const [{ item, decoded }] = members;
    if (members.length === 1) {
      results.set(
        item,
        outcomeOf(() => serve(item, decoded)),
      );
      continue;
    }
    const together = computeTogether(members);
    if (together === null) continue;
    for (const [index, member] of members.entries()) results.set(member.item, together[index]);
  }
  return items.map((item) => results.get(item) ?? outcomeOf(() => serve(item)));
}

/** The calls that can be samples of one, by what they have in common. */
function groupsOf(items: readonly RequestItem[]): Map<string, Member[]> {
  const groups = new Map<string, Member[]>();
  for (const item of items) {
    const startMs = performance.now();
    const decoded = decodedOf(item);
    if (decoded === null || !isPlain(item, decoded)) continue;
    const member = { item, decoded, readMs: performance.now() - startMs };
    const key = decoded.form as string;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [member]);
    else group.push(member);
  }
  return groups;
}

function decodedOf({ request, limits }: RequestItem): Decoded | null {
  try {
    return lending(request.memory, () => decodeRequest(request, limits));
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

/** Whether the tokens of a call are all that it brings, and have an axis to be put together along. */
function isPlain({ request }: RequestItem, { form, tensors, timeoutMs }: Decoded): boolean {
  const { tokens } = operationNamed(request.operation);
  const names = Object.keys(tensors);
  const [rank] = names.map((name) => tensors[name].shape.length);
  return (
    form !== undefined &&
    timeoutMs === undefined &&
    (rank === 2 || rank === 3) &&
    names.every((name) => tokens.includes(name) && tensors[name].shape.length === rank)
  );
}

/** One answer for each; null where they had better be done alone. */
function computeTogether(members: readonly Member[]): ItemResult[] | null {
  const [{ item, decoded: first }, { decoded: second }] = members;
  const { request, limits, kernel: preferred } = item;
  const startMs = performance.now();
  try {
    const together = concatenated(members.map(({ decoded }) => decoded.tensors));
    const { call } = readDecoded(request, { ...second, tensors: together }, { limits });
    const choice = choiceOf(preferred);
    const kernel = choice.of(call);
    const plan = kernel.plan(call);
    const flops = planFlops(plan) / members.length;
    if (flops > meansFrom(item, choice.usual, kernel).mostFlops) return null;
    // Each of them may use no more than it may alone.
    const read = readDecoded(request, first, { limits });
    checkBudget(kernel.plan(read.call), limits);
    const result = computeHere(call, kernel, plan);
    if (result === null || result.overflowed) return null;
    const computeMs = (performance.now() - startMs) / members.length;
    return members.map((member, sample) =>
      outcomeOf(() => {
        const answer = answerOf(member, read, partOf(result, sample, members.length));
        const runMs = member.readMs + computeMs + answer.encodeMs;
        return { kind: 'answered', readMs: member.readMs, answer: { ...answer, flops, computeMs }, runMs };
      }),
    );
  } catch (error) {
    // Too many samples for a limit, or something that will be said of each of them.
    if (error instanceof Problem) return null;
    throw error;
  }
}

/** Samples of all members, one behind the other. */
function concatenated(members: readonly Decoded['tensors'][]): Record<string, Tensor> {
  const names = Object.keys(members[0]);
  const bytes = names.reduce((sum, name) => sum + members[0][name].data.byteLength * members.length, 0);
  if (bytes > scratch.byteLength) scratch = new SharedArrayBuffer(bytes);
  let at = 0;
  const entries = names.map((name) => {
    const { dtype, shape, data: one } = members[0][name];
    const [samples, ...rest] = shape.length === 2 ? [1, ...shape] : shape;
    const count = one.length * members.length;
    const data: RealArray =
      one instanceof Float64Array
        ? new Float64Array(scratch, at, count)
        : new Float32Array(scratch, at, count);
    for (const [index, tensors] of members.entries()) data.set(tensors[name].data, index * one.length);
    at += data.byteLength;
    return [name, { dtype, shape: [samples * members.length, ...rest], data }] as const;
  });
  return Object.fromEntries(entries);
}

/** What the result of all of `count` members is for one of them: results are ordered by samples. */
function partOf(result: ComputeResult, member: number, count: number): ComputeResult {
  const memory = Object.entries(result.memory).map(([name, data]) => {
    const size = data.length / count;
    return [name, data.subarray(member * size, (member + 1) * size)] as const;
  });
  const { count: rows, first } = result.emptyRows;
  return { ...result, memory: Object.fromEntries(memory), emptyRows: { count: rows / count, first } };
}

function answerOf(
  { item: { request } }: Member,
  { call, options }: ReadRequest,
  result: ComputeResult,
): Pick<WholeAnswer, 'encoded' | 'kernel' | 'encodeMs'> {
  const startMs = performance.now();
  const encode = encoderNamed(request.answerFormat);
  const encoded = lending(request.memory, () => encode(writeAnswer(call, result), options));
  return { encoded, kernel: result.kernel, encodeMs: performance.now() - startMs };
}
