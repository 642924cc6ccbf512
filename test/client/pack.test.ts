import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AttentionApiError, AttentionClient } from '../../src/client/index.ts';
import { INDEX_FIELDS } from '../../src/client/raw-tensor.ts';
import { OPERATIONS } from '../../src/contract/operations.ts';
import { put, TWO_HEADS } from '../http/layers/support.ts';
import { listen, MHA, post, SDPA, SMALL, type TestService } from '../http/support.ts';
import { seeded } from '../support/random.ts';

/*
 * What a caller has as plain numbers or text means in a call of the client what it means in JSON: the same bits, or the
 * same refusal, however large it is.
 */

// biome-ignore lint/suspicious/noExplicitAny: one call is sent here in two ways, one of which has no types.
type Json = any;

/** Rows and columns of what as JSON is larger than the header of a safetensors file may be. */
const LARGE = 512;

const random = seeded(5);
const table = (element: (row: number, column: number) => unknown) =>
  Array.from({ length: LARGE }, (_, row) =>
    Array.from({ length: LARGE }, (_, column) => element(row, column)),
  );
const flat = (element: (row: number, column: number) => unknown) => table(element).flat();
const list = (count: number) => Array.from({ length: count }, () => random.normal());

const tokens = table(() => random.normal()).map((row) => row.slice(0, 4));
const self = { query: tokens, key: tokens, value: tokens };
const blocked = (row: number, column: number) => (column > row ? -1e9 : 0);
const finite = (row: number, column: number) => (column > row ? -60_000.5 : 0.1);
const shape = [LARGE, LARGE];
const far = { pairing: 'half', positions: [[2 ** 24 + 1]], key_positions: [[2 ** 24 + 3, 2 ** 24]] } as const;

const SAME: readonly (readonly [what: string, call: object])[] = [
  ['a mask of -1e9', { ...self, bias: table(blocked) }],
  ['a mask of -1e9 in float64', { ...self, bias: table(blocked), precision: 'float64' }],
  ['a flat mask of -1e9', { ...self, bias: { shape, data: flat(blocked) } }],
  ['numbers that float32 rounds', { ...SMALL, query: [[2 ** 24 + 1, -0.1]], precision: 'float64' }],
  ['numbers just above the largest float32', { ...SMALL, bias: [[3.4028235e38, 3.40282356e38]] }],
  ['float64', { ...self, bias: { dtype: 'float64', shape, data: flat(finite) }, precision: 'float64' }],
  ['plain float16', { ...self, bias: { dtype: 'float16', shape, data: flat(finite) } }],
  ['plain bfloat16', { ...self, bias: { dtype: 'bfloat16', shape, data: flat(finite) } }],
  ['plain int64', { ...self, bias: { dtype: 'int64', shape, data: flat(blocked) } }],
  ['masks of 0 and 1', { ...self, allow_mask: { dtype: 'bool', shape, data: flat((row) => row % 2) } }],
  ['positions beyond 2^24', { ...SMALL, rope: far }],
  ['flat positions', { ...SMALL, rope: { ...far, positions: { shape: [1, 1], data: [2 ** 24 + 1] } } }],
  ['base64 of no dtype', { ...SMALL, rope: { ...far, positions: { shape: [1, 1], data: 'AAAAEAAAcEE=' } } }],
];

const REFUSED: readonly (readonly [what: string, call: object])[] = [
  ['ragged rows', { ...self, bias: table(blocked).toSpliced(511, 1, [0]) }],
  ['null', { ...self, bias: table((row) => (row === 500 ? null : 0)) }],
  ['numbers beyond float32', { ...self, bias: table((row) => (row === 500 ? 1e39 : 0)) }],
  ['numbers in a mask', { ...SMALL, allow_mask: [['yes', 1]] }],
  ['a list of another length', { ...self, bias: { shape, data: flat(blocked).slice(1) } }],
  ...[
    ['another character', 'AACA*PwAAAEA='],
    ['no padding', 'AACAPwAAAEA'],
    ['a line break', 'AACAPwAAAEA=\n'],
    ['bits that are not used', 'AACAPwAAAEB='],
    ['the alphabet of addresses', 'AACAPwAAA-A='],
    ['a fault far behind', `${'A'.repeat(400_000)}*AAA`],
  ].map(
    ([what, data]) =>
      [`base64 with ${what}`, { ...SMALL, query: { dtype: 'float32', shape: [1, 2], data } }] as const,
  ),
];

describe('a call', () => {
  let service: TestService;
  let client: AttentionClient;
  beforeAll(async () => {
    service = await listen();
    client = new AttentionClient(service.url);
  });
  afterAll(async () => {
    await client.close();
    await service.close();
  });

  async function expectSame(path: string, call: object, answer: Promise<Json>): Promise<void> {
    const [{ json }, { output }] = await Promise.all([
      post(service.url + path, { ...call, response: { encoding: 'base64' } }),
      answer,
    ]);
    const { data } = output;
    expect(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')).toBe(
      json.output.data,
    );
  }

  it.each(SAME)('takes %s as JSON does', async (_what, call) => {
    await expectSame(SDPA, call, client.scaledDotProductAttention(call as Json));
  });

  it('takes long lists as JSON does', async () => {
    const width = 20_000;
    const projections = {
      w_q: [list(width)],
      w_k: [list(width)],
      w_v: [[1]],
      b_q: list(width),
      b_k: list(width),
    };
    const call = { embeddings: [[1], [2]], projections };
    await expectSame(MHA, call, client.multiHeadAttention(call));
  });

  it('takes arrays beside what only JSON can say', async () => {
    const bias = { dtype: 'float16', shape, data: flat(finite) } as Json;
    const typed = { shape: [LARGE, 4], data: Float32Array.from(tokens.flat()) };
    const bits = { dtype: 'float32', shape: [LARGE, 4], data: new Uint8Array(typed.data.buffer) } as const;
    const masks = {
      allow_mask: { shape, data: new Uint8Array(LARGE * LARGE).fill(1) },
      key_lengths: [LARGE - 1],
    };
    const answer = client.scaledDotProductAttention({
      query: typed,
      key: bits,
      value: typed,
      bias,
      ...masks,
    });
    await expectSame(SDPA, { ...self, bias, key_lengths: [LARGE - 1] }, answer);
  });

  it.each(REFUSED)('is refused with %s as JSON is', async (_what, call) => {
    const { status, json } = await post(service.url + SDPA, call);
    const error = await client.scaledDotProductAttention(call as Json).catch((reason) => reason);
    expect(error).toBeInstanceOf(AttentionApiError);
    const { code, errors } = json;
    expect(error).toMatchObject({ status, code, errors });
    expect(status).toBe(422);
  });

  it('registers long lists as JSON does', async () => {
    const { w_q, w_k, w_v } = TWO_HEADS.projections;
    const angles = (data: number[]) => ({ dtype: 'bfloat16', shape: [data.length, 1], data }) as const;
    const rope = { pairing: 'half', cos: angles(list(20_000)), sin: angles(list(20_000)) } as const;
    const layer = { heads: 2, projections: { w_q, w_k, w_v }, rope };
    const { status, json } = await put(`${service.url}/v1/layers/by-json`, layer);
    expect(status).toBe(201);
    expect((await client.layers.put('by-client', layer)).etag).toBe(json.etag);
  });
});

it('the client knows the fields of counts and positions', () => {
  const indices = OPERATIONS.flatMap(({ fields }) =>
    Object.keys(fields).filter((field) => fields[field] === 'index'),
  );
  expect(new Set(indices)).toEqual(INDEX_FIELDS);
});
