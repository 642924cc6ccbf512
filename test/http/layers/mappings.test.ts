import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXED_OPTIONS } from '../../../src/contract/schemas/layers.ts';
import { attribute, type CaseTensor, type ConformanceCase, casesOf } from '../../conformance/cases.ts';
import { difference } from '../../conformance/compare.ts';
import { torchMha } from '../../conformance/torch-mha.ts';
import { seeded } from '../../support/random.ts';
import { bytesOf, f32, pack as fileOf, type Part } from '../../support/safetensors.ts';
import { listen, MHA, post, type TestService } from '../support.ts';
import { fileAmongOthers, put } from './support.ts';

/*
 * Files as PyTorch and Hugging Face Transformers write them, made of the weights of PyTorch's own cases: what their
 * layers gave, these must give.
 */

let service: TestService;
let layers: string;
beforeAll(async () => {
  service = await listen({ threads: 2 });
  layers = `${service.url}/v1/layers`;
});
afterAll(() => service.close());

const CASES = casesOf('torch-mha');
/** Those whose weights are packed: one width for all inputs, which is all that the layouts of Hugging Face have. */
const PACKED = CASES.filter(
  ({ inputs }) => inputs.in_proj_weight !== undefined && inputs.bias_k === undefined,
);

function partOf({ shape, data }: CaseTensor): Part {
  return { dtype: 'F32', shape, bytes: new Uint8Array(Buffer.from(data, 'base64')) };
}

/** `from` to `to` of the rows of a part of float32. */
function rows({ shape, bytes }: Part, from: number, to: number): Part {
  const [count, ...rest] = shape;
  const rowBytes = bytes.length / count;
  return { dtype: 'F32', shape: [to - from, ...rest], bytes: bytes.slice(from * rowBytes, to * rowBytes) };
}

function transposed({ shape: [height, width], bytes }: Part): Part {
  const numbers = new Float32Array(bytes.buffer, bytes.byteOffset, height * width);
  return f32(
    [width, height],
    Array.from(
      { length: height * width },
      (_, at) => numbers[(at % height) * width + Math.floor(at / height)],
    ),
  );
}

/** A third of the packed weight or bias of a case: 0 for q, 1 for k, 2 for v. */
function third(part: Part, index: number): Part {
  const size = part.shape[0] / 3;
  return rows(part, index * size, (index + 1) * size);
}

/** Registers a file, puts a case to it, and compares with what PyTorch gave. */
async function hold(
  given: ConformanceCase,
  file: Uint8Array,
  query: string,
  extra: object = {},
): Promise<void> {
  const url = `${layers}/${given.name.replaceAll('_', '-')}`;
  const heads = attribute(given, 'num_heads', 1);
  const zero = given.attributes.add_zero_attn === true ? '&zero_attention=true' : '';
  const made = await put(`${url}?heads=${heads}&${query}${zero}`, file);
  expect(made.json).not.toHaveProperty('errors');
  for (const { body, expectations } of torchMha.exchanges(given, 'float32')) {
    const call = Object.fromEntries(Object.entries(body).filter(([name]) => !FIXED_OPTIONS.includes(name)));
    const { status, json } = await post(`${url}/attention`, { ...call, ...extra });
    expect({ status, problem: json.detail }).toEqual({ status: 200, problem: undefined });
    const wrong = expectations.map((one) => difference(json[one.result], 'float32', one));
    expect(wrong.filter((message) => message !== null)).toEqual([]);
  }
}

/** The parameters of nn.MultiheadAttention by the names of its state_dict, below a module. */
function torchParts({ inputs }: ConformanceCase, module: string): Record<string, Part> {
  const names = Object.keys(inputs).filter((name) => /_weight$|_bias$|^bias_/.test(name));
  return Object.fromEntries(
    names.map((name) => [`${module}${name.replace('out_proj_', 'out_proj.')}`, partOf(inputs[name])]),
  );
}

describe('torch', () => {
  it.each(CASES.map((given) => [given.name, given] as const))('%s', async (_name, given) => {
    await hold(
      given,
      fileAmongOthers(torchParts(given, 'encoder.layers.0.self_attn.')),
      'mapping=torch&prefix=encoder.layers.0',
    );
    await hold(
      given,
      fileAmongOthers(torchParts(given, 'decoder.cross.')),
      'mapping=torch&prefix=decoder.cross.',
    );
  });
});

describe('hf_bert', () => {
  it.each(PACKED.map((given) => [given.name, given] as const))('%s', async (_name, given) => {
    const [weight, bias] = [partOf(given.inputs.in_proj_weight), given.inputs.in_proj_bias];
    const at = 'bert.encoder.layer.11.attention.';
    const parts: Record<string, Part> = { [`${at}output.LayerNorm.weight`]: f32([1], [1]) };
    for (const [index, name] of ['query', 'key', 'value'].entries()) {
      parts[`${at}self.${name}.weight`] = third(weight, index);
      if (bias !== undefined) parts[`${at}self.${name}.bias`] = third(partOf(bias), index);
    }
    parts[`${at}output.dense.weight`] = partOf(given.inputs.out_proj_weight);
    if (given.inputs.out_proj_bias !== undefined)
      parts[`${at}output.dense.bias`] = partOf(given.inputs.out_proj_bias);
    await hold(given, fileAmongOthers(parts), 'mapping=hf_bert&prefix=bert.encoder.layer.11');
  });
});

describe('hf_gpt2', () => {
  it.each(PACKED.map((given) => [given.name, given] as const))('%s', async (_name, given) => {
    const { in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias } = given.inputs;
    const parts: Record<string, Part> = {
      'h.3.attn.bias': { dtype: 'BOOL', shape: [1, 1, 1, 1], bytes: new Uint8Array(1) },
      'h.3.attn.c_attn.weight': transposed(partOf(in_proj_weight)),
      'h.3.attn.c_proj.weight': transposed(partOf(out_proj_weight)),
      ...(in_proj_bias === undefined ? {} : { 'h.3.attn.c_attn.bias': partOf(in_proj_bias) }),
      ...(out_proj_bias === undefined ? {} : { 'h.3.attn.c_proj.bias': partOf(out_proj_bias) }),
    };
    // The layer is causal by itself; PyTorch's are where their mask says so.
    await hold(given, fileAmongOthers(parts), 'mapping=hf_gpt2&prefix=h.3', { causal: 'none' });
  });

  it('is causal by itself', async () => {
    const given = CASES.find(({ name }) => name === 'mha_self_future_padding') as ConformanceCase;
    const { attn_mask: _mask, ...inputs } = given.inputs;
    const parts = {
      'c_attn.weight': transposed(partOf(inputs.in_proj_weight)),
      'c_attn.bias': partOf(inputs.in_proj_bias),
      'c_proj.weight': transposed(partOf(inputs.out_proj_weight)),
      'c_proj.bias': partOf(inputs.out_proj_bias),
    };
    const file = fileAmongOthers(
      Object.fromEntries(Object.entries(parts).map(([name, part]) => [`h.0.${name}`, part])),
    );
    await hold({ ...given, inputs }, file, 'mapping=hf_gpt2&prefix=h.0');
  });
});

describe('hf_llama', () => {
  it.each(PACKED.map((given) => [given.name, given] as const))('%s', async (_name, given) => {
    const { in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias } = given.inputs;
    const at = 'model.layers.1.self_attn.';
    const parts: Record<string, Part> = { [`${at}rotary_emb.inv_freq`]: f32([1], [1]) };
    for (const [index, letter] of ['q', 'k', 'v'].entries()) {
      parts[`${at}${letter}_proj.weight`] = third(partOf(in_proj_weight), index);
      if (in_proj_bias !== undefined) parts[`${at}${letter}_proj.bias`] = third(partOf(in_proj_bias), index);
    }
    parts[`${at}o_proj.weight`] = partOf(out_proj_weight);
    if (out_proj_bias !== undefined) parts[`${at}o_proj.bias`] = partOf(out_proj_bias);
    const headSize = in_proj_weight.shape[1] / attribute(given, 'num_heads', 1);
    const [batch, queries] = given.inputs.query.shape;
    const keys = (given.inputs.key ?? given.inputs.query).shape[1];
    const still = (count: number) => Array.from({ length: batch }, () => new Array(count).fill(0));
    // Tokens that all stand at position 0 are not turned, so that PyTorch's numbers hold; a head of odd size has no halves.
    const rope = { positions: still(queries), key_positions: still(keys) };
    if (headSize % 2 === 1) {
      const { status, json } = await put(
        `${layers}/odd?mapping=hf_llama&prefix=model.layers.1&heads=${given.attributes.num_heads}`,
        fileAmongOthers(parts),
      );
      expect([status, json.code]).toEqual([422, 'invalid_option']);
      return;
    }
    await hold(given, fileAmongOthers(parts), 'mapping=hf_llama&prefix=model.layers.1', {
      causal: 'none',
      rope,
    });
  });

  it.each(['F32', 'F16', 'BF16'])('shares key/value heads, rotates and is causal, in %s', async (dtype) => {
    const random = seeded(5);
    const [width, heads, kvHeads, headSize] = [12, 4, 2, 6];
    const matrix = (height: number, across: number) =>
      Array.from({ length: height }, () =>
        Array.from({ length: across }, () => rounded(dtype, random.normal())),
      );
    const weights = {
      w_q: matrix(heads * headSize, width),
      w_k: matrix(kvHeads * headSize, width),
      w_v: matrix(kvHeads * headSize, width),
      w_o: matrix(width, heads * headSize),
    };
    const parts = Object.fromEntries(
      Object.entries(weights).map(([name, rowsOf]) => [
        `layers.0.self_attn.${name[2]}_proj.weight`,
        stored(dtype, [rowsOf.length, rowsOf[0].length], rowsOf.flat()),
      ]),
    );
    const made = await put(
      `${layers}/gqa?mapping=hf_llama&prefix=layers.0&heads=4&rope.theta=500000`,
      fileAmongOthers(parts),
    );
    expect(made.json.options).toEqual({
      heads: 4,
      kv_heads: 2,
      layout: 'out_in',
      causal: 'upper_left',
      rope: { pairing: 'half', theta: 500000 },
    });
    const embeddings = matrix(5, width);
    const whole = await post(`${service.url}${MHA}`, {
      ...made.json.options,
      projections: weights,
      embeddings,
    });
    const layered = await post(`${layers}/gqa/attention`, { embeddings });
    expect(layered.json.output).toEqual(whole.json.output);
    // What stands behind the tokens of a shorter sample changes nothing of them.
    const padded = [
      [...embeddings, ...embeddings],
      [...embeddings.slice(0, 3), ...matrix(7, width)],
    ];
    const { json } = await post(`${layers}/gqa/attention`, { embeddings: padded, key_lengths: [10, 3] });
    expect(json.output[1].slice(0, 3)).toEqual(layered.json.output.slice(0, 3));
  });
});

/** A number as the type holds it. */
function rounded(dtype: string, value: number): number {
  const single = Math.fround(value);
  if (dtype === 'F16') return Math.f16round(single);
  if (dtype === 'F32') return single;
  const bits = new Uint32Array(Float32Array.of(single).buffer);
  return new Float32Array(Uint32Array.of(bits[0] & 0xffff0000).buffer)[0];
}

function stored(dtype: string, shape: readonly number[], numbers: readonly number[]): Part {
  if (dtype === 'F16') return { dtype, shape, bytes: bytesOf(Float16Array.from(numbers)) };
  if (dtype === 'F32') return f32(shape, numbers);
  const bits = new Uint32Array(Float32Array.from(numbers).buffer);
  return { dtype, shape, bytes: bytesOf(Uint16Array.from(bits, (pattern) => pattern >>> 16)) };
}

describe('what does not fit', () => {
  const linear = (...shape: number[]) => f32(shape, new Array(shape[0] * (shape[1] ?? 1)).fill(1));
  const bert = (layer: number): Record<string, Part> => {
    const at = `encoder.layer.${layer}.attention.`;
    return Object.fromEntries(
      ['self.query', 'self.key', 'self.value', 'output.dense'].map((name) => [
        `${at}${name}.weight`,
        linear(4, 4),
      ]),
    );
  };
  const refused = async (query: string, parts: Record<string, Part>) => {
    const { status, json } = await put(`${layers}/refused?heads=2&${query}`, fileAmongOthers(parts));
    expect([status, json.code]).toEqual([422, 'mapping_mismatch']);
    return json;
  };

  it('says what was expected, what the file has, and which prefix would fit', async () => {
    const json = await refused('mapping=hf_bert', { ...bert(0), ...bert(1) });
    expect(json.detail).toContain(
      'self.query.weight, self.key.weight, self.value.weight, output.dense.weight',
    );
    expect(json.detail).toContain('10 tensors');
    expect(json.detail).toContain('It would fit with prefix "encoder.layer.0" or prefix "encoder.layer.1".');
    expect(json.errors[0].detail).toMatch(/^Missing; expected a tensor/);
    const near = await refused('mapping=hf_bert&prefix=encoder.layers.1', { ...bert(0), ...bert(1) });
    expect(near.detail).toContain('prefix "encoder.layer.1"');
  });

  it('says which other mapping would fit', async () => {
    const json = await refused('mapping=hf_llama&prefix=encoder.layer.0', bert(0));
    expect(json.detail).toContain('It would fit mapping hf_bert with prefix "encoder.layer.0".');
  });

  it('points at the tensor that is missing', async () => {
    const { 'encoder.layer.0.attention.output.dense.weight': _o, ...parts } = bert(0);
    const json = await refused('mapping=hf_bert&prefix=encoder.layer.0', {
      ...parts,
      'encoder.layer.0.attention.output.dens.weight': linear(4, 4),
    });
    expect(json.errors).toEqual([
      {
        pointer: '/encoder.layer.0.attention.output.dense.weight',
        detail: 'Missing; expected a tensor. The file has "encoder.layer.0.attention.output.dens.weight".',
      },
    ]);
  });

  it('refuses what would change the result', async () => {
    const at = 'model.layers.0.self_attn.';
    const parts = Object.fromEntries(
      ['q', 'k', 'v', 'o'].map((one) => [`${at}${one}_proj.weight`, linear(4, 4)]),
    );
    const json = await refused('mapping=hf_llama&prefix=model.layers.0', {
      ...parts,
      [`${at}q_norm.weight`]: linear(2),
    });
    expect(json.errors[0].pointer).toBe(`/${at}q_norm.weight`);
    // All that is similar is there already, and was not meant.
    expect(json.errors[0].detail).toContain(
      `computes nothing with "${at}q_norm.weight"; it has q_proj.weight`,
    );
    const { [`${at}o_proj.weight`]: _o, ...lacking } = parts;
    const { errors } = await refused('mapping=hf_llama&prefix=model.layers.0', lacking);
    expect(errors).toEqual([{ pointer: `/${at}o_proj.weight`, detail: 'Missing; expected a tensor.' }]);
  });

  it('reads a packed matrix in the order that the address says', async () => {
    const numbers = Array.from({ length: 48 }, (_, i) => Math.sin(i));
    const w_qkv = { shape: [4, 12], data: numbers };
    const body = { heads: 2, projections: { w_qkv, packed_order: 'per_head' } };
    const json = await put(`${layers}/packed-by-json`, body);
    const file = fileOf({ w_qkv: f32([4, 12], numbers) });
    const address = 'heads=2&projections.packed_order=per_head';
    const made = await put(`${layers}/packed-by-file?${address}`, file);
    expect([made.status, made.headers.etag], made.text).toEqual([201, json.headers.etag]);
    const torch = fileOf({ in_proj_weight: f32([12, 4], numbers), 'out_proj.weight': linear(4, 4) });
    const { json: refusal } = await put(`${layers}/refused?mapping=torch&${address}`, torch);
    expect(refusal.errors[0].pointer).toBe('/projections.packed_order');
    const wrong = await put(`${layers}/refused?heads=2&projections.packed_order=vqk`, file);
    expect([wrong.status, wrong.json.errors[0].pointer]).toEqual([400, '/projections.packed_order']);
  });

  it('says of a file without tensors what it lacks', async () => {
    const { status, json } = await put(`${layers}/refused?mapping=hf_llama&heads=2`, fileOf({}));
    expect(status).toBe(422);
    expect(json.detail).toMatch(/The file has no tensors\.$/);
  });

  it('wants the heads, which no file says', async () => {
    const { status, json } = await put(
      `${layers}/refused?mapping=hf_bert&prefix=encoder.layer.0`,
      fileAmongOthers(bert(0)),
    );
    expect([status, json.errors[0].pointer]).toEqual([400, '/heads']);
  });

  it.each([
    ['mapping=bert', 'invalid_request', '/mapping'],
    ['mapping=hf_bert&head=2', 'invalid_request', '/head'],
    ['mapping=hf_bert&prefix=encoder.layer.0&layout=in_out', 'invalid_option', '/layout'],
    ['mapping=hf_bert&prefix=encoder.layer.0&kv_heads=0', 'invalid_request', '/kv_heads'],
  ])('refuses ?%s', async (query, code, pointer) => {
    const { json } = await put(`${layers}/refused?heads=2&${query}`, fileAmongOthers(bert(0)));
    expect([json.code, json.errors[0].pointer]).toEqual([code, pointer]);
  });

  it('reads our own names without a mapping, and names one that is wrong', async () => {
    const parts = { w_q: linear(4, 4), w_k: linear(4, 4), w_v: linear(4, 4), w_out: linear(4, 4) };
    const { json } = await put(`${layers}/refused?heads=2`, fileOf(parts));
    expect(json.errors[0].detail).toContain('did you mean "w_o"');
    expect(json.detail).toMatch(/did you mean "w_o"\? Say which layer of the file is meant with prefix\.$/);
    const stranger = await put(
      `${layers}/refused?heads=2`,
      fileOf({ ...parts, w_out: linear(4), alien: linear(4) }),
    );
    expect(stranger.json.detail).toMatch(/\. And 1 more\. Say which|\? And 1 more\. Say which/);
    const { w_out: _w, ...rest } = parts;
    expect((await put(`${layers}/own?heads=2`, fileOf(rest))).status).toBe(201);
    const long = Object.fromEntries(
      Object.entries(rest).map(([name, part]) => [`projections.${name}`, part]),
    );
    const first = await put(`${layers}/own?heads=2`, fileOf(rest));
    expect((await put(`${layers}/own-long?heads=2`, fileOf(long))).headers.etag).toBe(first.headers.etag);
    expect(
      (
        await put(
          `${layers}/own-below?heads=2&prefix=x.y`,
          fileAmongOthers(
            Object.fromEntries(Object.entries(rest).map(([name, part]) => [`x.y.${name}`, part])),
          ),
        )
      ).headers.etag,
    ).toBe(first.headers.etag);
  });

  it('names a number that cannot be used by its tensor in the file', async () => {
    const parts = bert(0);
    parts['encoder.layer.0.attention.self.key.weight'] = f32(
      [4, 4],
      [1, Number.NaN, ...new Array(14).fill(1)],
    );
    const { json } = await put(
      `${layers}/refused?heads=2&mapping=hf_bert&prefix=encoder.layer.0`,
      fileAmongOthers(parts),
    );
    expect(json).toMatchObject({
      code: 'invalid_tensor',
      errors: [{ pointer: '/encoder.layer.0.attention.self.key.weight' }],
    });
  });
});
