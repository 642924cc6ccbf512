import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { f32, pack as fileOf, type Part } from '../../support/safetensors.ts';
import { listen, MHA, post, type TestService } from '../support.ts';
import { fileAmongOthers, put } from './support.ts';

/* What is said of a layer that does not fit: in the names of its file, and of nothing that nobody has sent. */

let service: TestService;
let layers: string;
beforeAll(async () => {
  service = await listen({ threads: 2 });
  layers = `${service.url}/v1/layers`;
});
afterAll(() => service.close());

const zeros = (...shape: number[]): Part =>
  f32(shape, new Array(shape.reduce((product, size) => product * size, 1)).fill(0));

const torch = (module: string, inProj = zeros(24, 8)): Record<string, Part> => ({
  [`${module}in_proj_weight`]: inProj,
  [`${module}out_proj.weight`]: zeros(8, 8),
});

const refused = async (query: string, file: Uint8Array) => {
  const { status, json } = await put(`${layers}/refused?${query}`, file);
  expect(status).toBe(422);
  return json;
};

describe('shapes', () => {
  it('of a packed weight are held against H + 2G, by its name in the file', async () => {
    const json = await refused('mapping=torch&heads=3', fileOf(torch('')));
    const expected = 'Expected [(H + 2G)·d, 8] with layout "out_in", H + 2G = 3 + 2·3 = 9; got [24, 8].';
    expect(json).toMatchObject({
      code: 'shape_mismatch',
      detail: `/in_proj_weight: ${expected}`,
      errors: [
        { pointer: '/in_proj_weight', detail: expected },
        {
          pointer: '/heads',
          detail: 'Expected an H for which 24 is (H + 2G)·d; got H + 2G = 3 + 2·3 = 9.',
        },
      ],
    });
  });

  it.each([
    ['torch', torch('l.0.', zeros(8, 24)), 'l.0.in_proj_weight', '[out, in]'],
    [
      'hf_gpt2',
      { 'l.0.attn.c_attn.weight': zeros(24, 8), 'l.0.attn.c_proj.weight': zeros(8, 8) },
      'l.0.attn.c_attn.weight',
      '[in, out]',
    ],
    [
      'hf_gpt2',
      { 'l.0.attn.c_attn.weight': zeros(72, 24), 'l.0.attn.c_proj.weight': zeros(24, 24) },
      'l.0.attn.c_proj.weight',
      '[in, out]',
    ],
  ])('of %s that would fit transposed say so', async (mapping, parts, name, axes) => {
    const json = await refused(`mapping=${mapping}&prefix=l.0&heads=2`, fileAmongOthers(parts));
    expect(json.errors[0]).toEqual({
      pointer: `/${name}`,
      detail: expect.stringContaining(
        `It would fit with the matrices transposed: mapping ${mapping} reads them as ${axes}.`,
      ),
    });
    expect(json.detail).toContain(json.errors[0].detail);
  });

  it.each([
    ['of the same head size', 'heads=4', 4, ' It would fit with kv_heads 2.'],
    ['of another number of heads, too', 'heads=2', 2, ''],
  ])('of fewer key/value heads, %s, are not taken for transposed', async (_what, query, kvHeads, hint) => {
    const headSize = 16 / kvHeads;
    // Transposed, all of it would be a layer of cross-attention whose keys come from tokens of another width.
    const columns = kvHeads === 4 ? 8 : 4;
    const at = 'model.layers.0.self_attn.';
    const llama = {
      [`${at}q_proj.weight`]: zeros(16, 16),
      [`${at}k_proj.weight`]: zeros(columns, 16),
      [`${at}v_proj.weight`]: zeros(columns, 16),
      [`${at}o_proj.weight`]: zeros(16, 16),
    };
    const address = `mapping=hf_llama&prefix=model.layers.0&${query}&kv_heads=${kvHeads}`;
    const expected =
      `Expected G·d_k = ${kvHeads}·${headSize} = 16 output columns, the head size of ${at}q_proj.weight; ` +
      `got ${columns}.${hint}`;
    expect((await refused(address, fileAmongOthers(llama))).errors).toEqual([
      { pointer: `/${at}k_proj.weight`, detail: expected },
    ]);
    const ours = { w_q: zeros(16, 16), w_k: zeros(16, columns), w_v: zeros(16, columns), w_o: zeros(16, 16) };
    const { errors } = await refused(query, fileOf(ours));
    expect(errors).toEqual([{ pointer: '/w_k', detail: expected.replace(`${at}q_proj.weight`, 'w_q') }]);
    if (hint !== '')
      expect((await put(`${layers}/grouped?${query}&kv_heads=2`, fileOf(ours))).status).toBe(201);
  });

  it('of fewer key/value heads that are transposed still say so', async () => {
    const grouped = { w_q: zeros(16, 16), w_k: zeros(8, 16), w_v: zeros(8, 16), w_o: zeros(16, 16) };
    const { detail } = await refused('heads=4&kv_heads=2', fileOf(grouped));
    expect(detail).toContain('It would fit with layout "out_in".');
  });

  it('that fit in neither layout, or in both, suggest none', async () => {
    const neither = await refused('mapping=torch&heads=5', fileOf(torch('')));
    expect(neither.detail).not.toContain('would fit');
    const square = { w_q: zeros(4, 4), w_k: zeros(4, 4), w_v: zeros(4, 4), b_q: zeros(3) };
    expect((await refused('heads=2', fileOf(square))).detail).not.toContain('would fit');
  });

  it('name the layout where that may be chosen', async () => {
    const parts = { w_q: zeros(8, 6), w_k: zeros(8, 6), w_v: zeros(8, 6), w_o: zeros(6, 8) };
    const hint = 'It would fit with layout "out_in".';
    const transposed = Object.fromEntries(
      Object.entries(parts).map(([name, { shape }]) => [name, zeros(shape[1], shape[0])]),
    );
    // As [in, out] they would be eight columns of six.
    const { detail } = await refused('heads=3', fileOf(transposed));
    expect(detail).toContain(`/w_q: Its width 8 cannot be split evenly over 3 heads. ${hint}`);
    expect((await put(`${layers}/transposed?heads=3&layout=out_in`, fileOf(transposed))).status).toBe(201);
    const projections = Object.fromEntries(
      Object.entries(parts).map(([name, { shape }]) => [
        name,
        { shape: [shape[1], shape[0]], data: new Array(48).fill(0) },
      ]),
    );
    const call = await post(`${service.url}${MHA}`, {
      embeddings: [new Array(8).fill(0)],
      projections,
      heads: 3,
    });
    expect(call.json.errors).toEqual([
      { pointer: '/projections/w_q', detail: expect.stringContaining(hint) },
    ]);
  });

  it.each([
    ['no rows', [0, 8]],
    ['no columns', [8, 0]],
    ['one axis', [8]],
  ])('of a matrix with %s are refused there, not at the tokens of a call', async (_what, shape) => {
    const weight = { shape, data: new Array(shape.length === 1 ? 8 : 0).fill(0) };
    const projections = { w_q: weight, w_k: weight, w_v: weight };
    const { status, json } = await put(`${layers}/refused`, { heads: 2, projections });
    expect([status, json.code]).toEqual([422, 'shape_mismatch']);
    expect(json.errors).toEqual([
      {
        pointer: '/projections/w_q',
        detail: `Expected [D, output columns] with layout "in_out", both at least 1; got [${shape.join(', ')}].`,
      },
    ]);
  });

  it.each([
    ['in_proj_bias', { in_proj_bias: zeros(9) }, /got \[9\]/],
    ['bias_v', { bias_k: zeros(1, 1, 8) }, /^Expected x\.bias_k and x\.bias_v together/],
    ['out_proj.weight', { 'out_proj.weight': zeros(8, 7) }, /8 being H·d_v; got \[8, 7\]/],
  ])('of %s are spoken of as the file does', async (name, parts, words) => {
    const below = Object.fromEntries(Object.entries(parts).map(([one, part]) => [`x.${one}`, part]));
    const file = fileAmongOthers({ ...torch('x.'), ...below });
    const json = await refused('mapping=torch&prefix=x&heads=2', file);
    expect(json.errors[0]).toEqual({ pointer: `/x.${name}`, detail: expect.stringMatching(words) });
  });

  it('of keys are held against the queries by their names in the file', async () => {
    const at = 'model.layers.0.self_attn.';
    const json = await refused(
      'mapping=hf_llama&prefix=model.layers.0&heads=2&kv_heads=1',
      fileAmongOthers({
        [`${at}q_proj.weight`]: zeros(8, 8),
        [`${at}k_proj.weight`]: zeros(6, 8),
        [`${at}v_proj.weight`]: zeros(4, 8),
        [`${at}o_proj.weight`]: zeros(8, 8),
      }),
    );
    expect(json.errors[0].pointer).toBe(`/${at}k_proj.weight`);
    expect(json.errors[0].detail).toContain(`the head size of ${at}q_proj.weight; got 6`);
  });
});

describe('the options of a file', () => {
  const square = { w_q: zeros(4, 4), w_k: zeros(4, 4), w_v: zeros(4, 4) };
  const file = (request: object | string, parts: Record<string, Part> = square) =>
    fileOf(parts, { request: typeof request === 'string' ? request : JSON.stringify(request) });

  it.each<[string, object | string, number, string, string, RegExp]>([
    [
      'no JSON',
      '{"causal":tru}',
      400,
      'malformed_body',
      '/causal',
      /^\/causal: Expected true; got '\}' at byte 13/,
    ],
    ['no object', '[]', 400, 'malformed_body', '', /^Expected a JSON object; got '\['/],
    ['an empty text', '', 400, 'malformed_body', '', /^Expected a JSON object; got the end/],
    [
      'a wrong type',
      { heads: 'two' },
      400,
      'invalid_request',
      '/heads',
      /^\/heads: Expected an integer.*"two"/,
    ],
    ['an unknown option', { hedas: 2 }, 400, 'invalid_request', '/hedas', /Unknown.*did you mean "heads"/],
    [
      'a member of one',
      { rope: { pairing: 'x' } },
      400,
      'invalid_request',
      '/rope/pairing',
      /"half".*got "x"/,
    ],
    [
      'what is missing',
      { rope: { theta: 3 } },
      400,
      'invalid_request',
      '/rope/pairing',
      /Missing; expected "half"/,
    ],
    [
      'no place for tensors',
      { projections: 5 },
      400,
      'invalid_request',
      '/projections',
      /Expected an object/,
    ],
    ['a tensor of another kind', { sinks: ['a'] }, 422, 'invalid_tensor', '/sinks/0', /got a string/],
  ])('that are %s are named as their place', async (_what, request, status, code, pointer, words) => {
    const reply = await put(`${layers}/refused`, file(request));
    expect([reply.status, reply.json.code]).toEqual([status, code]);
    expect(reply.json.errors[0].pointer).toBe(`/__metadata__/request${pointer}`);
    const [place, ...detail] = reply.json.detail.split('__metadata__.request: ');
    expect(place).toBe('');
    expect(detail.join()).toMatch(words);
  });

  it('are not the place of what the address or a tensor has wrong', async () => {
    const split = file({ heads: 1, layout: 'in_out' });
    const { json } = await put(`${layers}/refused?heads=3`, split);
    expect(json.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(['/w_q', '/heads']);
    expect(json.detail).toMatch(/^\/w_q: /);
    const own = await put(`${layers}/refused`, file({ heads: 3 }));
    expect(own.json.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/w_q',
      '/__metadata__/request/heads',
    ]);
    const { w_q, w_k } = square;
    const without = await put(
      `${layers}/refused`,
      file({ projections: { packed_order: 'qkv' } }, { w_q, w_k }),
    );
    expect(without.json.errors[0].pointer).not.toContain('request');
    const order = { projections: { packed_order: 'per_head' } };
    const unpacked = await put(`${layers}/refused`, file(order, square));
    expect([unpacked.status, unpacked.json.errors[0].pointer]).toEqual([
      422,
      '/__metadata__/request/projections/packed_order',
    ]);
  });
});

describe('what could mean two things', () => {
  it('is a file with two layers of attention below the prefix', async () => {
    const decoder = (at: string) => ({ ...torch(`${at}self_attn.`), ...torch(`${at}multihead_attn.`) });
    const bare = await refused('mapping=torch&heads=2', fileAmongOthers(decoder('')));
    expect(bare.code).toBe('mapping_mismatch');
    expect(bare.errors).toEqual([
      {
        pointer: '/prefix',
        detail:
          'Expected the prefix of one layer of attention, for mapping torch "self_attn" or "multihead_attn"; got none.',
      },
    ]);
    const below = await refused(
      'mapping=torch&heads=2&prefix=decoder.0',
      fileAmongOthers(decoder('decoder.0.')),
    );
    expect(below.detail).toContain('"decoder.0.self_attn" or "decoder.0.multihead_attn"; got "decoder.0"');
    const far = await refused('mapping=torch&heads=2', fileAmongOthers(decoder('decoder.0.')));
    expect(far.detail).toContain(
      'It would fit with prefix "decoder.0.self_attn" or prefix "decoder.0.multihead_attn".',
    );
    for (const prefix of ['self_attn', 'multihead_attn']) {
      const url = `${layers}/${prefix}?mapping=torch&heads=2&prefix=${prefix}`;
      expect((await put(url, fileAmongOthers(decoder('')))).status).toBe(201);
    }
    const one = fileAmongOthers(torch('self_attn.'));
    expect((await put(`${layers}/one?mapping=torch&heads=2`, one)).status).toBe(201);
  });

  it.each(['causal=none&causal.offset=1', 'causal.offset=1&causal=upper_left'])('is ?%s', async (query) => {
    const json = await refused(`mapping=torch&heads=2&${query}`, fileOf(torch('')));
    expect(json).toMatchObject({
      code: 'invalid_option',
      errors: [{ pointer: '/causal.offset', detail: 'Expected either causal or causal.offset; got both.' }],
    });
  });
});

describe('the address', () => {
  it.each([
    ['one?heads=many', '/heads', /^\?heads: Expected an integer.*got "many" \(a string\)\.$/],
    ['one?mapping=torch&head=2', '/head', /^\?head: Unknown parameter "head"; did you mean "heads"\?$/],
    [
      'One?heads=2',
      '/layer',
      /^\{layer\} in the address: Expected a text that matches .*got "One" \(a string\)\.$/,
    ],
  ])('%s is what is said to be wrong, and no body', async (address, pointer, detail) => {
    const { status, json } = await put(`${layers}/${address}`, fileOf(torch('')));
    expect([status, json.code, json.errors[0].pointer]).toEqual([400, 'invalid_request', pointer]);
    expect(json.detail).toMatch(detail);
    expect(json.title).toBe('The request does not have the form of this operation');
  });
});
