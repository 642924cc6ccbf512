import type { AttentionCall, HeadSource, Indices } from '../../domain/call.ts';
import { headShape, ROLES } from '../heads.ts';
import type { Grid } from '../program.ts';
import type { Layout } from './layout.ts';

/*
 * Which way a call goes, and so what is kept in memory on the way. Of projected heads, rows and panels and none at all
 * give the same bits.
 */

type Projected = Extract<HeadSource, { kind: 'projected' }>;

/** Keys for each query from which they are read where they lie, as in decoding: a layer of few tokens has other ways. */
const DECODED_KEYS = 8;
/** The same where packing the keys costs more than lanes that stay empty would. */
const MANY_KEYS = 64;

/** Rows of a sample, and numbers of one, from which products of split numbers are sooner done, splitting included. */
const SPLIT_ROWS = 48;
const SPLIT_WIDTH = 256;
/** The same of heads that are given: each has rows of its own to split. */
const SPLIT_HEAD_ROWS = 128;
const SPLIT_HEAD_SIZE = 48;

/**
 * Whether a layout is best for a call. Splitting numbers for the tiles of AMX does not pay where few rows share a weight
 * that is split for them, sums are short, or a layer's weights, packed as they are, would have to be packed anew.
 */
export function isBestFor(call: AttentionCall, { splitsNumbers, weightRows }: Layout): boolean {
  if (!splitsNumbers) return true;
  const { queries, keys, headSize, valueHeadSize } = call.sizes;
  const rows = Math.min(queries, keys);
  const widths = ROLES.flatMap((role) => {
    const source = call[role];
    return source.kind === 'projected' ? [source.linear.inWidth] : [];
  });
  if (widths.length === 0) {
    return rows >= SPLIT_HEAD_ROWS && Math.min(headSize, valueHeadSize) >= SPLIT_HEAD_SIZE;
  }
  const areWhole = [...widths, valueHeadSize].every((width) => weightRows(width) === width);
  return areWhole && rows >= SPLIT_ROWS && Math.min(...widths) >= SPLIT_WIDTH;
}

/**
 * Whether a call has few queries for its keys; addon/few.h. Whatever is returned, the way is the same.
 *
 * A panel has the queries of one head in its lanes. Where they fill less than half of a vector, reading keys in place is
 * faster by as much as lanes would be empty, however many heads share a key; with more it has to save the packing.
 */
export function hasFewQueries({ sizes }: AttentionCall, { splitsNumbers, panel }: Layout): boolean {
  // There, keys and values are operands where the caller's tensors lie, or as soon as they are rounded.
  if (splitsNumbers) return false;
  const { queries, keys, heads, kvHeads } = sizes;
  const lanes = panel / 2;
  if (queries <= lanes / 2) return keys >= DECODED_KEYS * queries;
  return queries * (heads / kvHeads) <= lanes && keys >= MANY_KEYS * queries;
}

/** Whether keys are read from panels: by many queries, and by gradients. */
export function readsPanels(call: AttentionCall, layout: Layout): boolean {
  return !hasFewQueries(call, layout) || call.gradOutput !== null;
}

/** Whether keys, from wherever they come, are packed to panels in a stage of their own. */
export function packsKeys(call: AttentionCall, layout: Layout): boolean {
  return readsPanels(call, layout) && !goesToPanels(call, 'key', layout);
}

/**
 * Whether attention makes the rows of a map that belong to its queries, from the scores that it has: where all weights
 * are returned as they are. Otherwise those that are asked for have their scores computed again.
 */
export function makesMapsOnTheWay({
  returns: { weights },
  sizes: { heads, queries },
}: AttentionCall): boolean {
  if (weights === null || weights.reduce !== null || weights.topK !== null) return false;
  return isEach(weights.heads, heads) && isEach(weights.queries, queries);
}

/** Whether a selection of so many is all of them, in their order. */
function isEach(selection: Indices, count: number): boolean {
  if (selection.length !== count) return false;
  for (let i = 0; i < count; i++) if (selection[i] !== i) return false;
  return true;
}

/** Tiles that a call is to have, so that all cores take part, unless they are as short as this. */
export const MANY_TILES = 8;
const SHORT_TILE_FLOPS = 3e7;

/**
 * Whether one tile takes whole samples from their tokens to the attention of some heads, and nothing keeps these: where
 * a sample is short, no map is made of its heads afterwards, and there are tiles enough for many cores.
 */
export function attendsTokens(call: AttentionCall, layout: Layout): boolean {
  const { returns, sizes } = call;
  if (Math.max(sizes.queries, sizes.keys) > layout.blockPanels * layout.panel) return false;
  if (returns.logits !== null || (returns.weights !== null && !makesMapsOnTheWay(call))) return false;
  if (!goesToPanels(call, 'query', layout) || !goesToPanels(call, 'key', layout)) return false;
  const { heads, rows, tileRows } = sampleGrid(call, layout);
  const tiles = heads * Math.ceil(rows / tileRows);
  return tiles >= MANY_TILES || projectionFlops(call) <= tiles * SHORT_TILE_FLOPS;
}

/** Those tiles: the heads are blocks of whole samples, the rows key/value heads, as many as fill panels of columns of W_V. */
export function sampleGrid({ sizes }: AttentionCall, { panel, blockPanels }: Layout): Grid {
  const panels = Math.ceil(Math.max(sizes.queries, sizes.keys) / panel);
  return {
    batch: 1,
    heads: Math.ceil(sizes.batch / Math.max(1, Math.floor(blockPanels / panels))),
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
export function goesToPanels(call: AttentionCall, role: 'query' | 'key', layout: Layout): boolean {
  const source = call[role];
  if (source.kind !== 'projected' || !layout.isPlain || call.rope !== null) return false;
  if (hasFewQueries(call, layout) || !isBestInPanels(source, layout)) return false;
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

/** How rows are dealt to panels: so many of them for each sample. */
export interface PanelRows {
  readonly samples: number;
  readonly rows: number;
}

/**
 * How the rows that samples have of some tokens are dealt. Each sample begins with a panel of its own; where samples are
 * short, all are one of B·rows, whose panels they share: a row that is alone in its panel is multiplied as slowly as four.
 */
export function panelRows(call: AttentionCall, rows: number, layout: Layout): PanelRows {
  const { batch } = call.sizes;
  return sharesPanels(call, rows, layout) ? { samples: 1, rows: batch * rows } : { samples: batch, rows };
}

/** Whether samples share panels of tokens: where this leaves half of the panels, and projections make rows of them. */
export function sharesPanels(call: AttentionCall, rows: number, layout: Layout): boolean {
  const { batch } = call.sizes;
  const { panel } = layout;
  if (2 * Math.ceil((batch * rows) / panel) > batch * Math.ceil(rows / panel)) return false;
  return !goesToPanels(call, 'query', layout) && !goesToPanels(call, 'key', layout);
}

/** The same of the concatenated heads of all queries. A tile of attention writes words of a whole panel. */
export function concatRows(call: AttentionCall, layout: Layout): PanelRows {
  const { batch, queries } = call.sizes;
  return layout.isPlain ? panelRows(call, queries, layout) : { samples: batch, rows: queries };
}

export function sharesConcatPanels(call: AttentionCall, layout: Layout): boolean {
  return layout.isPlain && sharesPanels(call, call.sizes.queries, layout);
}

/** What it costs to make panels of rows, for each element: as much as so many terms of the sum that it comes from. */
const TURNING = 24;
/** By how much products with one vector of a panel are slower than with both, which share what is broadcast. */
const HALF_A_PANEL = 0.1;

/** Whether panels cost less than rows: a lane without a token is computed like any other, one that is alone slower. */
function isBestInPanels({ tokens, linear }: Projected, { panel }: Layout): boolean {
  const lanes = panel / 2;
  const vectors = Math.ceil(tokens.rows / lanes);
  const wasted = vectors * lanes - tokens.rows + (vectors % 2) * HALF_A_PANEL * lanes;
  return wasted * linear.inWidth <= TURNING * tokens.rows;
}
