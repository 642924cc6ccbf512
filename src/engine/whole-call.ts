import { type ComputeResult, writeAnswer } from '../contract/write-answer.ts';
import type { AttentionCall } from '../domain/call.ts';
import type { Kernel, Plan } from '../kernels/kernel.ts';
import { allocate, planBytes } from '../kernels/memory.ts';
import { createStatus, emptyRows, overflowed } from '../kernels/status.ts';
import type { Encoded } from '../wire/format.ts';
import { encoderNamed } from '../wire/registry.ts';
import { planFlops } from './budget.ts';
import type { ReadRequest } from './request.ts';
import { helpersOf } from './work.ts';

export interface WholeAnswer {
  readonly encoded: Encoded;
  /** Name of the kernel that computed it. */
  readonly kernel: string;
  /** Operations that this thread had to do in `computeMs`. */
  readonly flops: number;
  /** What it took to take the numbers from a body that was not decoded otherwise. */
  readonly decodeMs?: number;
  readonly computeMs: number;
  readonly encodeMs: number;
}

/** What a thread that computes a call may use. */
export interface Means {
  /** It computes no call of more arithmetic than this: of its kernel or, as long as that is not known, of the usual one. */
  readonly mostFlops: number;
  /** Threads that have nothing to do, for the helpers of the kernel. */
  readonly idleThreads: number;
}

/** Means that are counted for one kernel, counted for another: a slower one does less in the same time. */
export function meansFrom({ mostFlops, idleThreads }: Means, usual: Kernel, kernel: Kernel): Means {
  return { mostFlops: mostFlops * Math.min(1, kernel.flopsPerMs / usual.flopsPerMs), idleThreads };
}

/** Workspace and results of more bytes than this are not for the memory that a thread keeps to itself. */
const LARGEST_BYTES = 16 * 1024 * 1024;

/** Memory of this thread for one call after the other; grows to what the largest one needed. */
let arena = new SharedArrayBuffer(0);

/**
 * Computes a call and writes its answer, in this thread, at one go and in memory that belongs to the thread: for calls
 * that cost less than their way through the workers, or that find all other workers busy. Returns null, and does
 * nothing, where the call takes more arithmetic than it may or much memory.
 */
export function answerWhole(
  { call, options }: ReadRequest,
  answerFormat: string,
  kernel: Kernel,
  plan: Plan,
  { mostFlops, idleThreads }: Means,
): WholeAnswer | null {
  const flops = planFlops(plan);
  if (flops > mostFlops) return null;
  const helpers = helpersOf(kernel, plan, idleThreads);
  const startMs = performance.now();
  const result = computeHere(call, kernel, plan, helpers);
  if (result === null) return null;
  const computedMs = performance.now();
  const answer = writeAnswer(call, result);
  const encoded = encoderNamed(answerFormat)(answer, options);
  const encodeMs = performance.now() - computedMs;
  return {
    encoded,
    kernel: kernel.name,
    flops: flops / (1 + helpers),
    computeMs: computedMs - startMs,
    encodeMs,
  };
}

/** Computes a call in this thread, in memory that holds until the next one; null where it takes much memory. */
export function computeHere(
  call: AttentionCall,
  kernel: Kernel,
  plan: Plan,
  helpers = 0,
): ComputeResult | null {
  const bytes = planBytes(plan);
  if (bytes > LARGEST_BYTES) return null;
  if (bytes > arena.byteLength) arena = new SharedArrayBuffer(bytes);
  const status = createStatus();
  const memory = allocate(plan, arena);
  kernel.runAll({ call, plan, memory, status }, helpers);
  return { memory, emptyRows: emptyRows(status), overflowed: overflowed(status), kernel: kernel.name };
}
