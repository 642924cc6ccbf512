import { describe, expect, it } from 'vitest';
import type { AttentionCall } from '../../../src/domain/call.ts';
import { withLinears } from '../../../src/domain/linears.ts';
import { wasmKernels } from '../../../src/kernels/wasm/kernel.ts';
import { Shelf } from '../../../src/kernels/wasm/shelf.ts';
import { type CallOptions, makeCall } from '../../support/calls.ts';
import { expectSameBits } from '../../support/expect.ts';
import { selfAttention } from '../../support/projections.ts';
import { run } from '../../support/run.ts';
import { expectOracle } from '../contract/agreement.ts';

describe('a shelf', () => {
  it('finds what was put there by its name', () => {
    const shelf = new Shelf(64, 100);
    expect(shelf.hasRoom(60)).toBe(true);
    shelf.add('a', 60);
    expect(shelf.hasRoom(40)).toBe(true);
    shelf.add('b', 40);
    expect([shelf.find('a'), shelf.find('b'), shelf.find('c'), shelf.end]).toEqual([64, 124, undefined, 164]);
  });

  it('keeps what came first, until as much has been refused as there is room for', () => {
    const shelf = new Shelf(0, 100);
    shelf.add('a', 80);
    expect(shelf.hasRoom(30)).toBe(false);
    expect(shelf.hasRoom(70)).toBe(false);
    expect(shelf.find('a')).toBe(0);
    // That has begun the count anew.
    expect(shelf.hasRoom(100)).toBe(false);
    expect(shelf.hasRoom(30)).toBe(true);
    expect([shelf.find('a'), shelf.end]).toEqual([undefined, 0]);
  });

  it('has no room for what is larger, and gives nothing up for it', () => {
    const shelf = new Shelf(0, 100);
    shelf.add('a', 10);
    for (let turn = 0; turn < 3; turn++) expect(shelf.hasRoom(101)).toBe(false);
    expect(shelf.find('a')).toBe(0);
  });
});

const precision = 'float32';
const WIDTH = 24;
const projections = selfAttention(WIDTH, 16);

describe.each(wasmKernels.map((kernel) => [kernel.name, kernel] as const))('%s', (_name, kernel) => {
  const options = { precision, queries: 30, heads: 4, headSize: 6, projections } as const;

  it('reads weights of a name once, and computes the same with them', () => {
    const call = named(options, `${kernel.name}, once`);
    expectOracle(kernel, call);
    const { output } = run(kernel, call).memory;
    const expected = output.slice();
    // Whoever reads these numbers now notices.
    withLinears(call, (linear) => ({ ...linear, weight: linear.weight.fill(Number.NaN) }));
    expectSameBits(
      'output',
      run(kernel, named(options, `${kernel.name}, once`, call)).memory.output,
      expected,
    );
  });

  it('takes weights that are cut into other heads for others', () => {
    for (const heads of [4, 2, 8, 4])
      expectOracle(kernel, named({ ...options, heads, headSize: 24 / heads }, `${kernel.name}, heads`));
  });

  it('takes keys and weights of calls between each other for what they are', () => {
    for (let turn = 0; turn < 3; turn++) {
      expectOracle(kernel, makeCall({ precision, queries: 30, heads: 4, headSize: 6, seed: turn }));
      const layer = turn % 2;
      expectOracle(kernel, named({ ...options, seed: layer }, `${kernel.name}, between, ${layer}`));
      expectOracle(kernel, makeCall({ ...options, seed: turn }));
    }
  });

  it('computes with more weights than it keeps', () => {
    // 4 MB for each of four weights, and 64 in all.
    const large = {
      precision,
      queries: 2,
      heads: 1,
      headSize: 1000,
      projections: selfAttention(1000, 1000),
    } as const;
    for (const layer of [0, 1, 2, 3, 4, 5, 0, 5])
      expectOracle(kernel, named({ ...large, seed: layer }, `${kernel.name}, large ${layer}`));
  });
});

/** A call whose weights have names, as those of a registered layer; with the weights of `like`, where given. */
function named(options: CallOptions, layer: string, like: AttentionCall = makeCall(options)): AttentionCall {
  return withLinears(like, (linear, name) => ({ ...linear, content: `${layer} ${name}` }));
}
