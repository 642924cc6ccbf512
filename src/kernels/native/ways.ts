import type { AttentionCall, HeadSource } from '../../domain/call.ts';
import { headShape, ROLES } from '../heads.ts';
import type { Grid } from '../program.ts';

/*
 * Which way a call goes, and so what is kept in memory on the way. Of projected heads, rows and panels and none at all
 * give the same bits.
 */

type Projected = Extract<HeadSource, { kind: 'projected' }>;

/** Panels of tokens that a projection takes at a time; addon/call.h. */
export const BLOCK_PANELS = 4;

/** Query rows of one key/value head up to which the keys are read where they lie instead of being packed. */
const FEW_ROWS = 8;
/** Keys for each query from which that pays. */
const MANY_KEYS = 64;

/** Whether a call has few queries for its keys, as in decoding; addon/few.h. Whatever is returned, the way is the same. */
export function hasFewQueries({ sizes, precision }: AttentionCall): boolean {
  // There, keys and values are operands where the caller's tensors lie, in float32.
  if (precision === 'bfloat16') return false;
  const rows = sizes.queries * (sizes.heads / sizes.kvHeads);
  return rows <= FEW_ROWS && sizes.keys >= MANY_KEYS * sizes.queries;
}

/** Whether keys are read from panels: by many queries, and by gradients. */
export function readsPanels(call: AttentionCall): boolean {
  return !hasFewQueries(call) || call.gradOutput !== null;
}

/** Whether keys, from wherever they come, are packed to panels in a stage of their own. */
export function packsKeys(call: AttentionCall, panel: number): boolean {
  return readsPanels(call) && !goesToPanels(call, 'key', panel);
}

/** Tiles that a call is to have, so that all cores take part, unless they are as short as this. */
const MANY_TILES = 8;
const SHORT_TILE_FLOPS = 3e7;

/**
 * Whether one tile takes whole samples from their tokens to the attention of some heads, and nothing keeps these: where
 * a sample is short, no map is made of its heads, and there are tiles enough for many cores.
 */
export function attendsTokens(call: AttentionCall, panel: number): boolean {
  const { returns, sizes } = call;
  if (Math.max(sizes.queries, sizes.keys) > BLOCK_PANELS * panel) return false;
  if (returns.weights !== null || returns.logits !== null) return false;
  if (!goesToPanels(call, 'query', panel) || !goesToPanels(call, 'key', panel)) return false;
  const { heads, rows, tileRows } = sampleGrid(call, panel);
  const tiles = heads * Math.ceil(rows / tileRows);
  return tiles >= MANY_TILES || projectionFlops(call) <= tiles * SHORT_TILE_FLOPS;
}

/** Those tiles: the heads are blocks of whole samples, the rows key/value heads, as many as fill panels of columns of W_V. */
export function sampleGrid({ sizes }: AttentionCall, panel: number): Grid {
  const panels = Math.ceil(Math.max(sizes.queries, sizes.keys) / panel);
  return {
    batch: 1,
    heads: Math.ceil(sizes.batch / Math.max(1, Math.floor(BLOCK_PANELS / panels))),
    rows: sizes.kvHeads,
    tileRows: Math.min(sizes.kvHeads, panel / commonDivisor(panel, sizes.valueHeadSize)),
  };
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** Operations of the projections to queries, keys and values. */
export function projectionFlops(call: AttentionCall): number {
  return ROLES.reduce((sum, role) => {
    const source = call[role];
    if (source.kind === 'given') return sum;
    const { heads, size } = headShape(call, role);
    return sum + 2 * call.sizes.batch * source.tokens.rows * source.linear.inWidth * heads * size;
  }, 0);
}

/**
 * Whether a projection makes the panels that attention reads, and no rows: where nothing else reads these heads. Keys
 * bring their values with them, which are then read where they lie.
 */
export function goesToPanels(call: AttentionCall, role: 'query' | 'key', panel: number): boolean {
  const source = call[role];
  if (source.kind !== 'projected' || call.precision !== 'float32' || call.rope !== null) return false;
  if (hasFewQueries(call) || !isBestInPanels(source, panel)) return false;
  if (role === 'query') return true;
  const { value, past, sizes, returns, keptPresent } = call;
  return (
    value.kind === 'projected' &&
    past === null &&
    sizes.extras === 0 &&
    !returns.presentKeyValue &&
    keptPresent === undefined
  );
}

/** What it costs to make panels of rows, for each element: as much as so many terms of the sum that it comes from. */
const TURNING = 24;
/** By how much products with one vector of a panel are slower than with both, which share what is broadcast. */
const HALF_A_PANEL = 0.1;

/** Whether panels cost less than rows: a lane without a token is computed like any other, one that is alone slower. */
function isBestInPanels({ tokens, linear }: Projected, panel: number): boolean {
  const lanes = panel / 2;
  const vectors = Math.ceil(tokens.rows / lanes);
  const wasted = vectors * lanes - tokens.rows + (vectors % 2) * HALF_A_PANEL * lanes;
  return wasted * linear.inWidth <= TURNING * tokens.rows;
}
