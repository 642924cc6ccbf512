import type { AttentionCall, HeadSource, Linear } from '../../domain/call.ts';
import { planBuffers } from '../buffers.ts';
import { headShape, type Role, sourceOf } from '../heads.ts';
import type { BufferPlan } from '../kernel.ts';

/** Panels of tokens that a projection takes at a time; addon/call.h. */
export const BLOCK_PANELS = 4;

type Projected = Extract<HeadSource, { kind: 'projected' }>;

const ROLES: readonly Role[] = ['query', 'key', 'value'];

/**
 * Buffers of the native kernel: those that every kernel has, and its panels, `panel` tokens wide, of words that hold one
 * float32 or two bfloat16.
 */
export function planNativeBuffers(
  call: AttentionCall,
  kernel: string,
  panel: number,
): Record<string, BufferPlan> {
  const { batch, queries, keys, extras, heads, kvHeads, headSize, valueHeadSize } = call.sizes;
  const real = (elements: number): BufferPlan => ({ type: 'float32', elements });
  const padded = (rows: number) => Math.ceil(rows / panel) * panel;
  const words = (operands: number) => (call.precision === 'bfloat16' ? Math.ceil(operands / 2) : operands);
  const buffers = planBuffers(call);

  for (const role of ROLES) {
    const source = sourceOf(call, role);
    if (source.kind !== 'projected') continue;
    const shape = headShape(call, role);
    if (ownsPanels(call, role)) {
      buffers[`panels.${role}`] = real(batch * padded(source.tokens.rows) * words(source.tokens.width));
    }
    if (isPacked(source.linear, kernel)) continue;
    buffers[`packed.${role}`] = real(padded(shape.heads * shape.size) * words(source.linear.inWidth));
  }
  if (call.outputProjection !== null) {
    // Every head begins with a word of its own.
    const depth = heads * words(valueHeadSize);
    const columns = call.outputProjection.headSize;
    if (!isPacked(call.outputProjection, kernel)) buffers['packed.output'] = real(padded(columns) * depth);
    buffers.concat = real(batch * padded(queries) * depth);
  }
  if (attendsTokens(call, panel)) {
    for (const role of ROLES) delete buffers[role];
    return buffers;
  }
  if (goesToPanels(call, 'query', panel)) {
    delete buffers.query;
    buffers['native.query_panels'] = real(batch * heads * padded(queries) * headSize);
  }
  if (!readsPanels(call)) return buffers;
  const kvRows = batch * kvHeads;
  const all = keys + extras;
  const panels = batch * Math.ceil(all / panel);
  buffers['native.key_panels'] = real(kvRows * padded(all) * words(headSize));
  if (goesToPanels(call, 'key', panel)) {
    delete buffers.key;
    buffers['native.key_sizes'] = real(panels * Math.ceil((kvHeads * headSize) / panel));
    return buffers;
  }
  buffers['native.value_rows'] = real(kvRows * words(all) * valueHeadSize);
  buffers['native.key_sizes'] = real(panels * kvHeads);
  buffers['native.poison'] = { type: 'int32', elements: kvRows * all };
  if (call.gradOutput !== null) {
    const rows = batch * heads * padded(queries);
    buffers['native.key_rows'] = real(kvRows * all * headSize);
    buffers['native.value_panels'] = real(kvRows * padded(all) * valueHeadSize);
    buffers['native.query_panels'] = real(rows * headSize);
    buffers['native.query_rows'] = real(rows * headSize);
    buffers['native.query_partials'] = real(gradientPartials(call) * rows * headSize);
    buffers['native.query_sizes'] = real(rows / panel);
    buffers['native.grad_panels'] = real(rows * valueHeadSize);
    buffers['native.grad_rows'] = real(rows * valueHeadSize);
    buffers['native.deltas'] = real(rows);
  }
  return buffers;
}

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
function readsPanels(call: AttentionCall): boolean {
  return !hasFewQueries(call) || call.gradOutput !== null;
}

/** Whether keys, from wherever they come, are packed to panels in a stage of their own. */
export function packsKeys(call: AttentionCall, panel: number): boolean {
  return readsPanels(call) && !goesToPanels(call, 'key', panel);
}

/** Whether one tile takes whole samples from their tokens to the attention of some heads, and nothing keeps these. */
export function attendsTokens(call: AttentionCall, panel: number): boolean {
  const { returns, sizes } = call;
  return (
    Math.max(sizes.queries, sizes.keys) <= BLOCK_PANELS * panel &&
    returns.weights === null &&
    returns.logits === null &&
    goesToPanels(call, 'query', panel) &&
    goesToPanels(call, 'key', panel)
  );
}

/**
 * Whether a projection makes the panels that attention reads, and no rows: where nothing else reads these heads. Keys
 * bring their values with them, which are then read where they lie.
 */
function goesToPanels(call: AttentionCall, role: 'query' | 'key', panel: number): boolean {
  const source = sourceOf(call, role);
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

/** Keys differentiated at a time, and how many such blocks may add to grad_query at the same time; addon/call.h. */
export const GRADIENT_BLOCK = 128;
const GRADIENT_PARTIALS = 4;

/** Partial sums of grad_query. */
export function gradientPartials({ sizes }: AttentionCall): number {
  return Math.min(GRADIENT_PARTIALS, Math.ceil((sizes.keys + sizes.extras) / GRADIENT_BLOCK));
}

/** Whether a weight comes packed by this kernel. */
export function isPacked(linear: Linear, kernel: string): boolean {
  return linear.packed?.kernel === kernel;
}

/** Whether the tokens of a role are turned into panels of their own: not when an earlier role has the same tokens. */
export function ownsPanels(call: AttentionCall, role: Role): boolean {
  const source = sourceOf(call, role);
  if (source.kind !== 'projected') return false;
  return ROLES.slice(0, ROLES.indexOf(role)).every((earlier) => {
    const other = sourceOf(call, earlier);
    return other.kind !== 'projected' || other.tokens.data !== source.tokens.data;
  });
}
