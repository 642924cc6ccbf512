import type { AttentionCall } from '../../domain/call.ts';
import { planBuffers } from '../buffers.ts';
import { headShape, ROLES, type Role } from '../heads.ts';
import type { BufferPlan } from '../kernel.ts';
import type { Layout } from './layout.ts';
import { isOutputPacked, isSourcePacked } from './packed.ts';
import { planAngles } from './rotations.ts';
import { attendsTokens, concatRows, goesToPanels, panelRows, readsPanels } from './ways.ts';

/** Buffers of the native kernel: those that every kernel has, and its panels. */
export function planNativeBuffers(call: AttentionCall, layout: Layout): Record<string, BufferPlan> {
  const { batch, queries, keys, extras, heads, kvHeads, headSize, valueHeadSize } = call.sizes;
  const real = (elements: number): BufferPlan => ({ type: 'float32', elements });
  const padded = (rows: number) => Math.ceil(rows / panel) * panel;
  const { panel, words, weightRows } = layout;
  const buffers = { ...planBuffers(call), ...planAngles(call) };

  for (const role of ROLES) {
    const source = call[role];
    if (source.kind !== 'projected') continue;
    const shape = headShape(call, role);
    if (ownsPanels(call, role)) {
      const { samples, rows } = panelRows(call, source.tokens.rows, layout);
      buffers[`panels.${role}`] = real(samples * padded(rows) * words(source.tokens.width));
    }
    if (isSourcePacked(source, layout)) continue;
    buffers[`packed.${role}`] = real(padded(shape.heads * shape.size) * weightRows(source.linear.inWidth));
  }
  if (call.outputProjection !== null) {
    // Every head begins with a word, or a row, of its own.
    const columns = padded(call.outputProjection.headSize);
    if (!isOutputPacked(call, layout))
      buffers['packed.output'] = real(columns * heads * weightRows(valueHeadSize));
    const { samples, rows } = concatRows(call, layout);
    buffers.concat = real(samples * padded(rows) * heads * words(valueHeadSize));
  }
  if (attendsTokens(call, layout)) {
    for (const role of ROLES) delete buffers[role];
    return buffers;
  }
  if (goesToPanels(call, 'query', layout)) {
    delete buffers.query;
    buffers['native.query_panels'] = real(batch * heads * padded(queries) * headSize);
  }
  if (!readsPanels(call, layout)) return buffers;
  const kvRows = batch * kvHeads;
  const all = keys + extras;
  const panels = batch * Math.ceil(all / panel);
  buffers['native.key_panels'] = real(kvRows * padded(all) * words(headSize));
  if (goesToPanels(call, 'key', layout)) {
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

/** Keys differentiated at a time, and how many such blocks may add to grad_query at the same time; addon/call.h. */
export const GRADIENT_BLOCK = 128;
const GRADIENT_PARTIALS = 4;

/** Partial sums of grad_query. */
export function gradientPartials({ sizes }: AttentionCall): number {
  return Math.min(GRADIENT_PARTIALS, Math.ceil((sizes.keys + sizes.extras) / GRADIENT_BLOCK));
}

/** Whether the tokens of a role are turned into panels of their own: not when an earlier role has the same tokens. */
export function ownsPanels(call: AttentionCall, role: Role): boolean {
  const source = call[role];
  if (source.kind !== 'projected') return false;
  return ROLES.slice(0, ROLES.indexOf(role)).every((earlier) => {
    const other = call[earlier];
    return other.kind !== 'projected' || other.tokens.data !== source.tokens.data;
  });
}
