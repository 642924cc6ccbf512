import { operationNamed } from '../contract/operations.ts';
import { widthOf } from '../contract/read-layer.ts';
import type { Answer } from '../domain/answer.ts';
import type { Plan } from '../kernels/kernel.ts';
import { planBytes } from '../kernels/memory.ts';
import { kernelNamed } from '../kernels/registry.ts';
import type { EncodeOptions } from '../wire/format.ts';
import { formatNamed } from '../wire/registry.ts';
import { planFlops } from './budget.ts';
import type { CallRequest } from './request.ts';
import type { Work } from './scheduler-state.ts';

/** Speeds to begin with, in cost units per millisecond; the scheduler measures the real ones. */
const DECODED_BYTES_PER_MS = 5e4;
const ENCODED_ELEMENTS_PER_MS = 5e3;

/** Reading or writing this much takes well below a millisecond, and less than the way to a worker and back. */
export const SMALL_BODY_BYTES = 32 * 1024;
const SMALL_ANSWER_ELEMENTS = 2048;
/** Raw numbers pass at several gigabytes a second: this much takes some tenths of a millisecond. */
const SMALL_RAW_BYTES = 2 * 1024 * 1024;

type Body = Pick<CallRequest, 'format' | 'bytes' | 'inference'>;

function isRawBody({ format, inference }: Body): boolean {
  return formatNamed(format).readsRaw?.(inference) === true;
}

function isRawAnswer(format: string, options: EncodeOptions): boolean {
  return formatNamed(format).writesRaw?.(options) === true;
}

/** Whether a body is read on the event loop. */
export function isReadHere(body: Body): boolean {
  return body.bytes.byteLength <= (isRawBody(body) ? SMALL_RAW_BYTES : SMALL_BODY_BYTES);
}

/** Raw numbers of a longer body are too many for one worker to compute, so that it would only read them. */
const MIDDLING_BODY_BYTES = 512 * 1024;

/**
 * How a request goes: it is read on the event loop, which also computes it where that takes no longer than `longestMs`
 * and else has the workers share it; or one worker reads it, and computes and writes it too where it takes no more than
 * `mostFlops`.
 */
export type Way =
  | { readonly begins: 'here'; readonly longestMs: number }
  | { readonly begins: 'at a worker'; readonly mostFlops: number };

/** What is known of the engine when a request comes. */
export interface Circumstances {
  readonly idleWorkers: number;
  /** Speed of one worker. */
  readonly flopsPerMs: number;
  /** Whether requests come one at a time, so that nobody would wait for the event loop; asked once at the most. */
  readonly isQuiet: () => boolean;
}

/** The way of a request, as far as can be told before it is read. */
export function wayOf(request: CallRequest, { idleWorkers, flopsPerMs, isQuiet }: Circumstances): Way {
  if (isReadHere(request)) {
    const extent = extentOf(request);
    const isForHere = isForOneThread(extent, flopsPerMs) && isQuiet();
    if (isForHere) return { begins: 'here', longestMs: LONGEST_UNSHARED_MS };
    if (!isForOneWorker(extent, idleWorkers, flopsPerMs))
      return { begins: 'here', longestMs: LONGEST_HERE_MS };
  }
  // Where no other worker is idle, sharing the call would only cost.
  const mostFlops = idleWorkers > 1 ? unsharedFlops(flopsPerMs) * HANDING_BACK : LONGEST_WHOLE_FLOPS;
  return { begins: 'at a worker', mostFlops };
}

/**
 * So many times longer may a call be for one worker that this one has read: handing it back, and waking others, costs
 * about what they would save.
 */
const HANDING_BACK = 2;
/** Longer calls are for all workers, even where all of them are busy: others should not wait so long for one. */
const LONGEST_WHOLE_FLOPS = 3e8;

/** Numbers of weights that take no more than some milliseconds to read, from wherever they are. */
const MOST_WEIGHTS = 2 ** 22;

/**
 * Whether the event loop may do all of a request of which nobody else would notice: as much as would be for one worker.
 * The worker would have to be woken, with caches that have gone cold, and the loop again for its answer.
 */
function isForOneThread({ bytes, flops, weights }: Extent, flopsPerMs: number): boolean {
  return bytes <= MIDDLING_BODY_BYTES && flops <= unsharedFlops(flopsPerMs) && weights <= MOST_WEIGHTS;
}

/**
 * Whether a worker does all of a request though it could be read here: a body of some length, or one for a layer of some
 * size, where it would not be shared by workers that are idle. The event loop then hands over bytes and gets bytes, and
 * calls that wait may go together.
 */
function isForOneWorker({ bytes, flops }: Extent, idleWorkers: number, flopsPerMs: number): boolean {
  if (bytes > MIDDLING_BODY_BYTES) return false;
  if (idleWorkers > 1 && (flops === 0 || flops > unsharedFlops(flopsPerMs))) return false;
  return bytes > SMALL_BODY_BYTES || flops > hereFlops(flopsPerMs);
}

/** What is known of a request before it is read: bytes of its body, numbers of the weights of its layer ... */
interface Extent {
  readonly bytes: number;
  readonly weights: number;
  /** ... and about what the projections take for as many tokens as such a body has; both 0 where it calls no layer. */
  readonly flops: number;
}

/** What a float32 takes by itself, and about what it takes as JSON, with its comma. */
const FLOAT32_BYTES = 4;
const NUMBER_ROOM = 13;

function extentOf(request: CallRequest): Extent {
  const { layer } = request;
  const bytes = request.bytes.byteLength;
  const width = layer && widthOf(layer.body, 'w_q');
  if (layer === undefined || width === undefined) return { bytes, weights: 0, flops: 0 };
  const tokens = bytes / (isRawBody(request) ? FLOAT32_BYTES : NUMBER_ROOM) / width;
  let weights = 0;
  for (const tensor of Object.values(layer.body.projections)) {
    if (typeof tensor === 'object' && tensor.shape.length === 2) weights += tensor.data.length;
  }
  return { bytes, weights, flops: 2 * tokens * weights };
}

/** Of a body of JSON, its tensors take no more than this in float32, unless most numbers have one or two digits. */
const LENT_SHARE = 0.75;
/** What stands around the numbers of an answer. */
const ANSWER_ROOM = 4096;
/**
 * How much memory is lent to whoever reads a body: for what is decoded, and for the answer, which is about as long as the
 * body.
 */
export function lentBytes(body: Body): number {
  const { byteLength } = body.bytes;
  return isRawBody(body) ? byteLength + ANSWER_ROOM : roomBeside(byteLength);
}

/** The same for a body whose format is not known yet. */
export function roomBeside(bodyBytes: number): number {
  return Math.ceil(bodyBytes * (1 + LENT_SHARE)) + ANSWER_ROOM;
}

/** How much memory is lent to whoever writes an answer: 0 where its one tensor has room for what stands before it. */
export function answerRoom(format: string, answer: Answer, options: EncodeOptions): number {
  if (!isRawAnswer(format, options)) return ANSWER_ROOM + answerElements(answer) * NUMBER_ROOM;
  const [{ room = 0 }, ...others] = Object.values(answer.tensors);
  return others.length === 0 && room >= ANSWER_ROOM ? 0 : ANSWER_ROOM + rawBytes(answer);
}

/** As text, the results of a plan of so many bytes take no more than two milliseconds to write. */
const SMALL_TEXT_BYTES = 512 * 1024;

/** Whether a plan has results that are written on the event loop, if the rest of it is done there too. */
export function isFinishedHere(plan: Plan, format: string, options: EncodeOptions): boolean {
  return planBytes(plan) <= (isRawAnswer(format, options) ? SMALL_RAW_BYTES : SMALL_TEXT_BYTES);
}

/** Whether an answer is written on the event loop. */
export function isWrittenHere(format: string, answer: Answer, options: EncodeOptions): boolean {
  const most = isRawAnswer(format, options) ? SMALL_RAW_BYTES / FLOAT32_BYTES : SMALL_ANSWER_ELEMENTS;
  return answerElements(answer) <= most;
}

/**
 * A job that takes one worker no longer than this is for one: to wake another, and to wait for each other between the
 * stages, costs both some tenths of a millisecond, which others could use.
 */
const LONGEST_UNSHARED_MS = 1.5;
/** A job that takes each worker no longer than this is shared in one go; a longer one leaves room between its slices. */
const LONGEST_SHARE_MS = 25;

/**
 * Into how many parts a job is divided that workers take part in from its first stage to its last; null where it is
 * so long that it is cut into slices instead. It is shared by the workers that are idle: one that is busy would come
 * when the others are nearly done. `flopsPerMs` is the speed of one worker.
 */
export function sharesOf(
  plan: Plan,
  idleWorkers: number,
  threads: number,
  flopsPerMs: number,
): number | null {
  const flops = planFlops(plan);
  if (flops <= unsharedFlops(flopsPerMs)) return 1;
  return flops <= LONGEST_SHARE_MS * threads * flopsPerMs ? Math.max(1, idleWorkers) : null;
}

function unsharedFlops(flopsPerMs: number): number {
  return LONGEST_UNSHARED_MS * flopsPerMs;
}

/** A call that is computed this quickly is computed where it is: the way to a worker and back takes longer. */
export const LONGEST_HERE_MS = 0.1;

/** Up to how much arithmetic the event loop computes a call itself, whoever else waits for it. */
function hereFlops(flopsPerMs: number): number {
  return LONGEST_HERE_MS * flopsPerMs;
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
export function computeWork(kernel: string, plan: Plan, shares: number | null): Work {
  const stages =
    shares === null
      ? plan.stages.map(({ tiles, flopsPerTile }) => ({ tiles, costPerTile: flopsPerTile }))
      : [{ tiles: shares, costPerTile: planFlops(plan) / shares }];
  return { ...computeSpeed(kernel), stages };
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

function rawBytes({ tensors }: Answer): number {
  return Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
}

function answerElements({ tensors }: Answer): number {
  return Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0);
}
