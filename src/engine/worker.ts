import { move, transferableSymbol, valueSymbol } from 'piscina';
import { OPERATIONS } from '../contract/operations.ts';
import { Problem } from '../domain/problem.ts';
import type { Job } from '../kernels/kernel.ts';
import { kernelFor, kernelNamed } from '../kernels/registry.ts';
import { isCancelled } from '../kernels/status.ts';
import type { Encoded } from '../wire/format.ts';
import { decoderNamed, encoderNamed } from '../wire/registry.ts';
import { checkBudget } from './budget.ts';
import { LARGE_JOB_BYTES, weigh, weighJob } from './counterweight.ts';
import type { ComputeItem, DecodeItem, EncodeItem, Item, ItemResult, RequestItem } from './item.ts';
import { makeLayerFile, openLayerFile } from './layer-work.ts';
import { readRequest } from './request.ts';
import { takePart } from './shared-job.ts';
import { answerWhole } from './whole-call.ts';

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
    case 'request':
      return serve(item);
    case 'decode':
      return { kind: 'decoded', decoded: decode(item) } satisfies ItemResult;
    case 'compute': {
      const startMs = performance.now();
      const tiles = compute(item);
      return { kind: 'computed', tiles, runMs: performance.now() - startMs } satisfies ItemResult;
    }
    case 'encode': {
      const encoded = encode(item);
      return handOver({ kind: 'encoded', encoded }, encoded);
    }
    case 'make_layer': {
      weigh(item.request.bytes);
      const file = makeLayerFile(item.request, item.limits);
      return { kind: 'layer_made', file } satisfies ItemResult;
    }
    case 'open_layer': {
      weigh(item.bytes);
      const layer = openLayerFile(item.bytes, item.etag, item.limits);
      return { kind: 'layer_opened', layer } satisfies ItemResult;
    }
    case 'ping':
      for (const operation of OPERATIONS) operation.compile();
      return { kind: 'up' } satisfies ItemResult;
  }
}

function serve({ request, limits, kernel, mostFlops }: RequestItem): unknown {
  const startMs = performance.now();
  const read = readRequest(request, { limits });
  if (read.tensorBytes > 0) weigh(read.call);
  const readMs = performance.now() - startMs;
  const chosen = kernelFor(read.call, kernel === null ? undefined : kernelNamed(kernel));
  const plan = chosen.plan(read.call);
  checkBudget(plan, limits);
  // A deadline that the body names is kept where the clock of the request is.
  const mayAnswer = read.timeoutMs === undefined;
  const answer = mayAnswer ? answerWhole(read, request.answerFormat, chosen, plan, mostFlops) : null;
  if (answer === null) return { kind: 'read', read, readMs } satisfies ItemResult;
  return handOver({ kind: 'answered', answer, readMs }, answer.encoded);
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

/** Hands a result over without copying its bytes. */
function handOver(result: ItemResult, { bytes }: Pick<Encoded, 'bytes'>): unknown {
  return move({ [transferableSymbol]: [bytes.buffer], [valueSymbol]: result } as never);
}

/** Returns how many tiles were computed: fewer than asked for where the job was cancelled meanwhile. */
function compute({ jobId, job, kernel: name, tiles, isFresh }: ComputeItem): number {
  if (job !== null) {
    current = { id: jobId, job };
    weighJob(job, isFresh);
  }
  if (current?.id !== jobId) throw new Error(`The worker was not given job ${jobId}.`);
  const kernel = kernelNamed(name);
  const { job: held } = current;
  if (tiles === 'all') {
    kernel.runAll(held);
    return isCancelled(held.status) ? 0 : held.plan.stages.reduce((sum, stage) => sum + stage.tiles, 0);
  }
  if (tiles instanceof Int32Array) return takePart(kernel, held, tiles);
  const { stage, from, to } = tiles;
  let tile = from;
  while (tile < to && !isCancelled(held.status)) kernel.run(held, stage, tile++);
  return tile - from;
}
