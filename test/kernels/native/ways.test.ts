import { describe, expect, it } from 'vitest';
import type { AttentionCall, WeightSelection } from '../../../src/domain/call.ts';
import { nativeKernels } from '../../../src/kernels/native/kernel.ts';
import { allWeights, type CallOptions, computesGradients, makeCall } from '../../support/calls.ts';
import { selfAttention } from '../../support/projections.ts';

/** Those that read float32 as it is; numbers that are packed otherwise go one way only. */
const float32 = nativeKernels.filter((kernel) => kernel.precision === 'float32' && computesGradients(kernel));

/** A layer whose samples are panels without an empty lane on every instruction set. */
function layer(options: CallOptions, width = 64): AttentionCall {
  return makeCall({
    precision: 'float32',
    queries: 32,
    projections: selfAttention(width, width),
    ...options,
  });
}

/** Projections and attention have no names of their own here: what counts is what memory is asked for. */
describe.skipIf(float32.length === 0).each(float32)('the way of a call on $name', (kernel) => {
  const buffersOf = (call: AttentionCall) => Object.keys(kernel.plan(call).buffers);
  /** Of the stage with the most of the work. */
  const tilesOf = (call: AttentionCall) =>
    kernel
      .plan(call)
      .stages.reduce((most, stage) =>
        stage.tiles * stage.flopsPerTile > most.tiles * most.flopsPerTile ? stage : most,
      ).tiles;

  it('keeps no heads of short samples', () => {
    const names = buffersOf(layer({ batch: 8, heads: 4, headSize: 16 }));
    for (const role of ['query', 'key', 'value', 'native.key_panels']) expect(names).not.toContain(role);
  });

  it('keeps panels where maps are made of them afterwards, and rows where keys are returned', () => {
    const call = layer({ heads: 4, headSize: 16 });
    const all = allWeights(call.sizes);
    const buffersWith = (weights: WeightSelection) =>
      buffersOf({ ...call, returns: { ...call.returns, weights } });
    expect(buffersWith(all)).not.toContain('native.key_panels');
    const ofMaps = buffersWith({ ...all, reduce: 'mean' });
    expect(ofMaps).toContain('native.key_panels');
    expect(ofMaps).not.toContain('key');
    expect(buffersOf({ ...call, returns: { ...call.returns, presentKeyValue: true } })).toContain('key');
  });

  it('packs no keys for a token that is decoded, however many heads share them', () => {
    for (const kvHeads of [24, 8, 1]) {
      const decoded = { precision: 'float32', heads: 24, kvHeads, headSize: 16, past: 99 } as const;
      const names = (queries: number) => buffersOf(makeCall({ ...decoded, queries, newKeys: queries }));
      expect(names(1)).not.toContain('native.key_panels');
      expect(names(64)).toContain('native.key_panels');
    }
  });

  it('leaves tiles for many cores where many heads share the keys that one query reads', () => {
    const call = makeCall({
      precision: 'float32',
      heads: 64,
      kvHeads: 1,
      queries: 1,
      newKeys: 99,
      headSize: 16,
    });
    expect(tilesOf(call)).toBe(4);
  });

  it('leaves tiles for many cores where few heads share the work of a long layer', () => {
    const few = layer({ heads: 16, kvHeads: 1, headSize: 64, queries: 64 }, 1024);
    const many = layer({ heads: 16, kvHeads: 16, headSize: 64, queries: 64 }, 1024);
    for (const call of [few, many]) expect(tilesOf(call)).toBeGreaterThanOrEqual(8);
  });
});
