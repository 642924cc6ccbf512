import type { AttentionCall } from '../domain/call.ts';
import { isHeldByFloat32 } from '../domain/float32.ts';

/** Positions and key ranges are held in float32 lanes, exact below 2^24. */
const MOST_POSITIONS = 2 ** 24;

/**
 * Whether float32 holds what a kernel that computes in it throughout makes of a call's sizes, offsets, scale and softcap.
 * The portable kernel, which sums in float64, takes the others.
 */
export function fitsFloat32({ sizes, visibility, score }: AttentionCall): boolean {
  return (
    sizes.keys + sizes.extras + sizes.queries < MOST_POSITIONS &&
    visibility.offsets.every((offset) => Math.abs(offset) < MOST_POSITIONS) &&
    isHeldByFloat32(score.scale) &&
    isHeldByFloat32(score.softcap ?? 0)
  );
}
