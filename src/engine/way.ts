import { widthOf } from '../contract/read-layer.ts';
import type { CallRequest } from './request.ts';
import { FLOAT32_BYTES, isRawBody, isReadHere, NUMBER_ROOM, SMALL_BODY_BYTES } from './sizes.ts';
import { unsharedFlops } from './work.ts';

/** A call that is computed this quickly is computed where it is: the way to a worker and back takes longer. */
export const LONGEST_HERE_MS = 0.1;
/** The same, where nobody else waits: less than anybody notices, and more than a step of decoding takes. */
export const LONGEST_HELD_MS = 2.5;
/** Raw numbers of a longer body are too many for one worker to compute, so that it would only read them. */
const MIDDLING_BODY_BYTES = 512 * 1024;

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
 * How a request goes: it is read on the event loop, which also computes it where that takes no longer than `longestMs`
 * and else has the workers share it; or one worker reads it, and computes and writes it too where it takes no more than
 * `mostFlops`.
 */
export type Way =
  | { readonly begins: 'here'; readonly longestMs: number }
  | { readonly begins: 'at a worker'; readonly mostFlops: number };

/** What is known of the engine when a request comes. */
export interface Circumstances {
  /** Workers that are idle and would share a long call, which the kernel's helpers make unnecessary. */
  readonly sharers: number;
  /** Helpers that whoever computes may have. */
  readonly helpers: number;
  /** Speed of one worker. */
  readonly flopsPerMs: number;
  /** Whether requests come one at a time, so that nobody would wait for the event loop; asked once at the most. */
  readonly isQuiet: () => boolean;
}

/** The way of a request, as far as can be told before it is read. */
export function wayOf(request: CallRequest, { sharers, helpers, flopsPerMs, isQuiet }: Circumstances): Way {
  if (isReadHere(request)) {
    const extent = extentOf(request);
    const isForHere = isForThisThread(extent, (1 + helpers) * flopsPerMs) && isQuiet();
    if (isForHere) return { begins: 'here', longestMs: LONGEST_HELD_MS };
    if (!isForOneWorker(extent, sharers, flopsPerMs)) return { begins: 'here', longestMs: LONGEST_HERE_MS };
  }
  // Where no other worker would share the call, to hand it back would only cost.
  const mostFlops = sharers > 1 ? unsharedFlops(flopsPerMs) * HANDING_BACK : LONGEST_WHOLE_FLOPS;
  return { begins: 'at a worker', mostFlops };
}

/**
 * Whether the event loop may do all of a request of which nobody else would notice. A worker would have to be woken,
 * with caches that have gone cold, and the loop again for its answer.
 */
function isForThisThread({ bytes, flops, weights }: Extent, flopsPerMs: number): boolean {
  return bytes <= MIDDLING_BODY_BYTES && flops <= LONGEST_HELD_MS * flopsPerMs && weights <= MOST_WEIGHTS;
}

/**
 * Whether a worker does all of a request though it could be read here: a body of some length, or one for a layer of some
 * size, where it would not be shared by workers that are idle. The event loop then hands over bytes and gets bytes, and
 * calls that wait may go together.
 */
function isForOneWorker({ bytes, flops }: Extent, sharers: number, flopsPerMs: number): boolean {
  if (bytes > MIDDLING_BODY_BYTES) return false;
  if (sharers > 1 && (flops === 0 || flops > unsharedFlops(flopsPerMs))) return false;
  return bytes > SMALL_BODY_BYTES || flops > hereFlops(flopsPerMs);
}

/** What is known of a request before it is read. */
interface Extent {
  /** Of its body. */
  readonly bytes: number;
  /** Numbers of the weights of its layer; 0 where it calls none. */
  readonly weights: number;
  /** About what the projections take for as many tokens as such a body has; 0 where it calls no layer. */
  readonly flops: number;
}

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

/** Up to how much arithmetic the event loop computes a call itself, whoever else waits for it. */
function hereFlops(flopsPerMs: number): number {
  return LONGEST_HERE_MS * flopsPerMs;
}
