import { move, transferableSymbol, valueSymbol } from 'piscina';
import { OPERATIONS } from '../contract/operations.ts';
import type { Job } from '../kernels/kernel.ts';
import { kernelNamed } from '../kernels/registry.ts';
import { isCancelled } from '../kernels/status.ts';
import type { Encoded } from '../wire/format.ts';
import { decoderNamed, encoderNamed } from '../wire/registry.ts';
import { lending } from '../wire/shared-memory.ts';
import { serveBatch } from './batch.ts';
import { groupOf, planFlops } from './budget.ts';
import { LARGE_JOB_BYTES, weigh, weighJob } from './counterweight.ts';
import type { ComputeItem, DecodeItem, EncodeItem, Item, ItemResult } from './item.ts';
import { makeLayerFile, openLayerFile } from './layer-work.ts';
import { runBehindTheEventLoop } from './priority.ts';
import { outcomeOf, serve } from './serve.ts';
import { type Part, takePart } from './shared-job.ts';

/** The job of the last compute item: slices of a big job often come one after the other. */
let current: { readonly id: number; readonly job: Job } | null = null;

/** Entry of the worker threads: does one item, and hands back its result or what it threw. */
export function perform(item: Item): unknown {
  return handOver(outcomeOf(() => performed(item)));
}

function performed(item: Item): ItemResult {
  switch (item.kind) {
    case 'request':
      return serve(item);
    case 'batch': {
      const startMs = performance.now();
      const results = serveBatch(item.items);
      return { kind: 'batch', results, runMs: performance.now() - startMs };
    }
    case 'decode':
      return { kind: 'decoded', decoded: decode(item) };
    case 'compute': {
      const startMs = performance.now();
      const part = compute(item);
      return { kind: 'computed', ...part, runMs: performance.now() - startMs };
    }
    case 'encode':
      return { kind: 'encoded', encoded: lending(item.memory, () => encode(item)) };
    case 'make_layer':
      weigh(item.request.bytes);
      return { kind: 'layer_made', file: makeLayerFile(item.request, item.limits) };
    case 'open_layer':
      weigh(item.bytes);
      return { kind: 'layer_opened', layer: openLayerFile(item.bytes, item.etag, item.limits) };
    case 'ping':
      runBehindTheEventLoop();
      for (const operation of OPERATIONS) operation.compile();
      return { kind: 'up' };
  }
}

function decode({ format, bytes, fields, limits }: DecodeItem) {
  const decoded = decoderNamed(format)(bytes, { fields, limits });
  weigh([bytes, decoded.tensors]);
  return decoded;
}

function encode({ format, answer, options }: EncodeItem): Encoded {
  weigh(answer.tensors, LARGE_JOB_BYTES);
  return encoderNamed(format)(answer, options);
}

/** Hands a result over without copying the bytes of answers that did not fit into the memory lent for them. */
function handOver(result: ItemResult): unknown {
  const owned = answersIn(result).flatMap(({ bytes: { buffer } }) =>
    buffer instanceof ArrayBuffer ? [buffer] : [],
  );
  if (owned.length === 0) return result;
  return move({ [transferableSymbol]: owned, [valueSymbol]: result } as never);
}

function answersIn(result: ItemResult): readonly Encoded[] {
  if (result.kind === 'batch') return result.results.flatMap(answersIn);
  if (result.kind === 'answered') return [result.answer.encoded];
  return result.kind === 'encoded' ? [result.encoded] : [];
}

/** Computes what is asked for, or less where the job is cancelled meanwhile. */
function compute({ jobId, job, kernel: name, tiles, isFresh }: ComputeItem): Part {
  if (job !== null) {
    current = { id: jobId, job };
    weighJob(job, isFresh);
  }
  if (current?.id !== jobId) throw new Error(`The worker was not given job ${jobId}.`);
  const kernel = kernelNamed(name);
  const { job: held } = current;
  if ('helpers' in tiles) {
    kernel.runAll(held, tiles.helpers, tiles.group);
    if (isCancelled(held.status)) return { tiles: 0, flops: 0, isComplete: false };
    const part = tiles.group === undefined ? held.plan : groupOf(held.plan, tiles.group);
    const count = part.stages.reduce((sum, stage) => sum + stage.tiles, 0);
    const flops = planFlops(part) / (1 + tiles.helpers);
    return { tiles: count, flops, isComplete: tiles.group === undefined };
  }
  if (tiles instanceof Int32Array) return takePart(kernel, held, tiles);
  const { stage, from, to } = tiles;
  let tile = from;
  while (tile < to && !isCancelled(held.status)) kernel.run(held, stage, tile++);
  const count = tile - from;
  return { tiles: count, flops: count * held.plan.stages[stage].flopsPerTile, isComplete: false };
}
