import { move } from 'piscina';
import { Problem } from '../domain/problem.ts';
import type { Job } from '../kernels/kernel.ts';
import { kernelNamed } from '../kernels/registry.ts';
import { isCancelled } from '../kernels/status.ts';
import { formatNamed } from '../wire/registry.ts';
import { weigh, weighJob } from './counterweight.ts';
import type { ComputeItem, DecodeItem, EncodeItem, Item, ItemResult } from './item.ts';
import { takePart } from './shared-job.ts';

/** The job of the last compute item: slices of a big job often come one after the other. */
let current: { readonly id: number; readonly job: Job } | null = null;

/** Entry of the worker threads: does one item, and hands back its result or what it threw. */
export function perform(item: Item): unknown {
  try {
    return performed(item);
  } catch (error) {
    if (error instanceof Problem) return { kind: 'problem', problem: error.toData() } satisfies ItemResult;
    return { kind: 'error', error } satisfies ItemResult;
  }
}

function performed(item: Item): unknown {
  switch (item.kind) {
    case 'decode':
      return { kind: 'decoded', decoded: decode(item) } satisfies ItemResult;
    case 'compute':
      return { kind: 'computed', tiles: compute(item) } satisfies ItemResult;
    case 'encode':
      return move(encode(item));
    case 'ping':
      return { kind: 'up' } satisfies ItemResult;
  }
}

function decode({ format, bytes, fields, limits }: DecodeItem) {
  const { decode } = formatNamed(format);
  if (decode === undefined) throw new TypeError(`The format ${format} does not read.`);
  const decoded = decode(bytes, { fields, limits });
  weigh([bytes, decoded.tensors]);
  return decoded;
}

function encode({ format, answer, options }: EncodeItem) {
  const { encode } = formatNamed(format);
  if (encode === undefined) throw new TypeError(`The format ${format} does not write.`);
  weigh(answer.tensors);
  return encode(answer, options);
}

/** Returns how many tiles were computed: fewer than asked for where the job was cancelled meanwhile. */
function compute({ jobId, job, kernel: name, tiles }: ComputeItem): number {
  if (job !== null) {
    current = { id: jobId, job };
    weighJob(job);
  }
  if (current?.id !== jobId) throw new Error(`The worker was not given job ${jobId}.`);
  const kernel = kernelNamed(name);
  const { job: held } = current;
  if (tiles instanceof Int32Array) return takePart(kernel, held, tiles);
  const { stage, from, to } = tiles;
  let tile = from;
  while (tile < to && !isCancelled(held.status)) kernel.run(held, stage, tile++);
  return tile - from;
}
