import { operationNamed } from '../contract/operations.ts';
import type { Answer } from '../domain/answer.ts';
import type { Kernel, Plan } from '../kernels/kernel.ts';
import { kernelNamed } from '../kernels/registry.ts';
import { groupFlops, planFlops } from './budget.ts';
import type { CallRequest } from './request.ts';
import type { Work } from './scheduler-state.ts';
import { answerElements } from './sizes.ts';

/** Speeds to begin with, in cost units per millisecond; the scheduler measures the real ones. */
const DECODED_BYTES_PER_MS = 5e4;
const ENCODED_ELEMENTS_PER_MS = 5e3;

/**
 * A job that takes one worker no longer than this is for one: to wake another, and to wait for each other between the
 * stages, costs both some tenths of a millisecond, which others could use.
 */
const LONGEST_UNSHARED_MS = 1.5;
/** A kernel's own helper is worth its waking where so many operations are left to it: a tenth or two of a millisecond. */
const HELPER_FLOPS = 2e7;
/** A job that takes each worker no longer than this is shared in one go; a longer one leaves room between its slices. */
const LONGEST_SHARE_MS = 25;

/**
 * Into how many parts a job is divided that workers take part in from its first stage to its last. It is shared by the
 * workers that are idle: one that is busy would come when the others are nearly done. A kernel's own helpers make sharing
 * unnecessary. Where it is so long that others have to get between: `groups`, where a worker with helpers does each of
 * these in one go; null where it is cut into slices of its stages. `flopsPerMs` is the speed of one worker.
 */
export function sharesOf(
  { hasHelpers }: Kernel,
  plan: Plan,
  idleWorkers: number,
  threads: number,
  flopsPerMs: number,
): Shares {
  const flops = planFlops(plan);
  if (flops <= unsharedFlops(flopsPerMs)) return 1;
  const longest = LONGEST_SHARE_MS * threads * flopsPerMs;
  if (flops <= longest) return hasHelpers ? 1 : Math.max(1, idleWorkers);
  return hasHelpers && plan.groups !== undefined && Math.max(...groupFlops(plan)) <= longest
    ? 'groups'
    : null;
}

/** How a job is divided between workers; see `sharesOf`. */
export type Shares = number | 'groups' | null;

/** How many of a kernel's own helpers take part in a job, where so many threads are idle. */
export function helpersOf(kernel: Kernel, plan: Plan, idleThreads: number): number {
  if (!kernel.hasHelpers) return 0;
  const mostTiles = Math.max(...plan.stages.map(({ tiles }) => tiles));
  return Math.max(0, Math.min(idleThreads, Math.floor(planFlops(plan) / HELPER_FLOPS), mostTiles - 1));
}

/** Up to how much arithmetic a job is for one worker. */
export function unsharedFlops(flopsPerMs: number): number {
  return LONGEST_UNSHARED_MS * flopsPerMs;
}

/** How fast a kernel is, before and after it has been measured. */
export function computeSpeed(kernel: string): Pick<Work, 'kind' | 'assumedSpeed'> {
  return { kind: kernel, assumedSpeed: kernelNamed(kernel).flopsPerMs };
}

/** Costs count in bytes of the body. Calls of one layer go together where they have to wait. */
export function requestWork(request: CallRequest): Work {
  const { format, bytes, layer, operation, answerFormat } = request;
  const work = oneShot(`request ${format}`, DECODED_BYTES_PER_MS, bytes.byteLength);
  if (layer === undefined || operationNamed(operation).tokens.length === 0) return work;
  return { ...work, batch: `${operation} ${layer.name} ${layer.etag} ${format} ${answerFormat}` };
}

/** Costs count in floating-point operations. */
export function computeWork(kernel: string, plan: Plan, shares: Shares): Work {
  return { ...computeSpeed(kernel), stages: workStages(plan, shares) };
}

function workStages(plan: Plan, shares: Shares): Work['stages'] {
  if (shares === null)
    return plan.stages.map(({ tiles, flopsPerTile }) => ({ tiles, costPerTile: flopsPerTile }));
  if (shares === 'groups') return groupFlops(plan).map((costPerTile) => ({ tiles: 1, costPerTile }));
  return [{ tiles: shares, costPerTile: planFlops(plan) / shares }];
}

/** Costs count in bytes. */
export function decodeWork(format: string, bytes: Uint8Array): Work {
  return oneShot(`decode ${format}`, DECODED_BYTES_PER_MS, bytes.byteLength);
}

/** Costs count in tensor elements. */
export function encodeWork(format: string, answer: Answer): Work {
  return oneShot(`encode ${format}`, ENCODED_ELEMENTS_PER_MS, answerElements(answer));
}

function oneShot(kind: string, assumedSpeed: number, cost: number): Work {
  return { kind, assumedSpeed, stages: [{ tiles: 1, costPerTile: cost }] };
}
