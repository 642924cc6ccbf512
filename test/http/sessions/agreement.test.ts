import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seeded } from '../../support/random.ts';
import { put } from '../layers/support.ts';
import { listen, post, type TestService } from '../support.ts';
import { LAYERS, matrix, WIDTH } from './layers.ts';

/*
 * However a sequence is cut into appends, its outputs are those of one causal pass over all of it: on layers of every
 * mapping and with every option that a layer keeps.
 */

const LENGTH = 150;
const TOKENS = matrix(seeded(21), LENGTH, WIDTH).map((row) => row.map((number) => Math.fround(4 * number)));

/** Off by at most this part of the largest output: sums in another order, and bfloat16 for operands of products. */
const BOUNDS = { float32: 3e-6, float64: 1e-13, bfloat16: 2e-2 };

const ways: Readonly<Record<string, readonly number[]>> = {
  'all at once': [LENGTH],
  'token by token': new Array(LENGTH).fill(1),
  'a prefill, then token by token': [120, ...new Array(LENGTH - 120).fill(1)],
  'pieces of any size': [1, 3, 17, 64, 1, 2, 40, 1, 21],
};

/** Keys that come after the last one, or that a window has let go, make the others stand elsewhere in a kernel's blocks. */
const MOVES_KEYS = /window|extra/;

let service: TestService;
beforeAll(async () => {
  service = await listen({ threads: 2 });
});
afterAll(() => service.close());

const names = Object.keys(LAYERS).map((name, index) => [name, `layer-${index}`] as const);

describe.each(names)('a session on a layer with %s', (name, layer) => {
  let whole: number[][];
  let largest: number;
  let precision: keyof typeof BOUNDS;
  beforeAll(async () => {
    const { query, body } = LAYERS[name];
    const made = await put(`${service.url}/v1/layers/${layer}?${query}`, body);
    expect(made.status, made.text).toBe(201);
    const pass = await post(`${service.url}/v1/layers/${layer}/attention`, {
      embeddings: TOKENS,
      causal: true,
    });
    expect(pass.status, pass.text).toBe(200);
    whole = pass.json.output;
    precision = pass.json.applied.precision;
    largest = Math.max(...whole.flat().map(Math.abs));
  });

  const begin = async () => {
    const { status, json } = await post(`${service.url}/v1/sessions`, { layer });
    expect(status).toBe(201);
    return `${service.url}/v1/sessions/${json.session_id}`;
  };

  const appended = async (session: string, sizes: readonly number[]): Promise<number[][]> => {
    const output: number[][] = [];
    for (const size of sizes) {
      const position = output.length;
      const embeddings = TOKENS.slice(position, position + size);
      const reply = await post(`${session}/append`, { embeddings, expected_position: position });
      expect(reply.status, reply.text).toBe(200);
      expect(reply.json.position).toBe(position + size);
      output.push(...reply.json.output);
    }
    return output;
  };

  const expectClose = (output: readonly number[][]) => {
    expect(output).toHaveLength(LENGTH);
    let worst = 0;
    for (const [i, row] of output.entries())
      for (const [c, number] of row.entries()) worst = Math.max(worst, Math.abs(number - whole[i][c]));
    expect(worst / largest).toBeLessThanOrEqual(BOUNDS[precision]);
  };

  it.each(Object.entries(ways))('gives what one pass gives: %s', async (_way, sizes) => {
    expectClose(await appended(await begin(), sizes));
  });

  it.skipIf(MOVES_KEYS.test(name))('gives the very bits of one pass to many queries at a time', async () => {
    expect(await appended(await begin(), [64, 86])).toEqual(whole);
  });
});
