import type { AttentionCall } from '../domain/call.ts';

/** Positions and key ranges are held in float32 lanes, exact below 2^24. */
const MOST_POSITIONS = 2 ** 24;
/** Float32 holds numbers from here on with all their bits. */
const SMALLEST_NORMAL = 2 ** -126;

/**
 * Whether float32 holds what a kernel that computes in it throughout makes of a call's sizes, offsets and scale. Another
 * kernel takes the others; the gradients of a call with another scale are all the same computed so.
 */
export function fitsFloat32({ sizes, visibility, score, gradOutput }: AttentionCall): boolean {
  return (
    sizes.keys + sizes.extras + sizes.queries < MOST_POSITIONS &&
    visibility.offsets.every((offset) => Math.abs(offset) < MOST_POSITIONS) &&
    (gradOutput !== null || isHeld(score.scale))
  );
}

function isHeld(scale: number): boolean {
  return scale === 0 || (Math.abs(scale) >= SMALLEST_NORMAL && Number.isFinite(Math.fround(scale)));
}
