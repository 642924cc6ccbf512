import { type Random, seeded } from '../../support/random.ts';
import { f32, type Part } from '../../support/safetensors.ts';
import { fileAmongOthers } from '../layers/support.ts';

/* Layers of every kind that a session may be on: of every mapping, and of every option that a layer keeps. */

export const WIDTH = 24;
const HEADS = 4;
const HEAD_SIZE = 6;

/** What is registered: a file and how it is to be read, or a body. */
export interface LayerUpload {
  readonly query: string;
  readonly body: Uint8Array | object;
}

function numbers(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => Math.fround(random.normal() / 4));
}

export function matrix(random: Random, rows: number, columns: number): number[][] {
  return Array.from({ length: rows }, () => numbers(random, columns));
}

function fileOf(shapes: Readonly<Record<string, readonly number[]>>, query: string): LayerUpload {
  const random = seeded(7);
  const size = (shape: readonly number[]) => shape.reduce((product, one) => product * one, 1);
  const parts: Record<string, Part> = {};
  for (const [name, shape] of Object.entries(shapes)) parts[name] = f32(shape, numbers(random, size(shape)));
  return { query, body: fileAmongOthers(parts) };
}

function bodyOf(options: object, kvHeads = HEADS, withOutput = true): LayerUpload {
  const random = seeded(8);
  const kvWidth = kvHeads * HEAD_SIZE;
  const projections = {
    w_q: matrix(random, WIDTH, HEADS * HEAD_SIZE),
    w_k: matrix(random, WIDTH, kvWidth),
    w_v: matrix(random, WIDTH, kvWidth),
    b_k: numbers(random, kvWidth),
    ...(withOutput ? { w_o: matrix(random, HEADS * HEAD_SIZE, 10) } : {}),
  };
  return { query: '', body: { heads: HEADS, kv_heads: kvHeads, projections, ...options } };
}

function tableOf(wave: (angle: number) => number): number[][] {
  return Array.from({ length: 200 }, (_, position) =>
    Array.from({ length: HEAD_SIZE / 2 }, (_, pair) => Math.fround(wave(position / (1 + 3 * pair)))),
  );
}

const llama = (kvHeads: number) => ({
  'model.layers.1.self_attn.q_proj.weight': [HEADS * HEAD_SIZE, WIDTH],
  'model.layers.1.self_attn.k_proj.weight': [kvHeads * HEAD_SIZE, WIDTH],
  'model.layers.1.self_attn.v_proj.weight': [kvHeads * HEAD_SIZE, WIDTH],
  'model.layers.1.self_attn.o_proj.weight': [WIDTH, HEADS * HEAD_SIZE],
});

export const LAYERS: Readonly<Record<string, LayerUpload>> = {
  attention: fileOf(
    { 'block.w_q': [WIDTH, 24], 'block.w_k': [WIDTH, 12], 'block.w_v': [WIDTH, 12], 'block.w_o': [24, 16] },
    'mapping=attention&prefix=block&heads=4&kv_heads=2',
  ),
  'torch, with extra keys': fileOf(
    {
      'self_attn.in_proj_weight': [3 * WIDTH, WIDTH],
      'self_attn.in_proj_bias': [3 * WIDTH],
      'self_attn.bias_k': [1, 1, WIDTH],
      'self_attn.bias_v': [1, 1, WIDTH],
      'self_attn.out_proj.weight': [WIDTH, WIDTH],
      'self_attn.out_proj.bias': [WIDTH],
    },
    'mapping=torch&prefix=self_attn&heads=4&causal=upper_left',
  ),
  hf_bert: fileOf(
    Object.fromEntries(
      ['self.query', 'self.key', 'self.value', 'output.dense'].flatMap((name) => [
        [`encoder.layer.2.attention.${name}.weight`, [WIDTH, WIDTH]],
        [`encoder.layer.2.attention.${name}.bias`, [WIDTH]],
      ]),
    ),
    'mapping=hf_bert&prefix=encoder.layer.2&heads=4',
  ),
  hf_gpt2: fileOf(
    {
      'h.0.attn.c_attn.weight': [WIDTH, 3 * WIDTH],
      'h.0.attn.c_attn.bias': [3 * WIDTH],
      'h.0.attn.c_proj.weight': [WIDTH, WIDTH],
      'h.0.attn.c_proj.bias': [WIDTH],
    },
    'mapping=hf_gpt2&prefix=h.0&heads=4',
  ),
  'hf_llama with shared keys': fileOf(llama(2), 'mapping=hf_llama&prefix=model.layers.1&heads=4'),
  'hf_llama with one key head and a window': fileOf(
    llama(1),
    'mapping=hf_llama&prefix=model.layers.1&heads=4&rope.theta=500000&window.left=20',
  ),
  'a window of three tokens': bodyOf({ causal: 'lower_right', window: { left: 2, right: 5 } }),
  'a window of the token alone': bodyOf({ window: { left: 0 } }, 2),
  'ALiBi in a window': bodyOf({ alibi_slopes: [0.5, 0.25, 0.125, 0.0625], window: { left: 33 } }),
  'sinks and a softcap': bodyOf({ sinks: [0.5, -1, 0, 2], softcap: 1.5, scale: 0.9 }, 2),
  'extra keys': bodyOf(
    { k_extra: numbers(seeded(3), 12), v_extra: numbers(seeded(4), 12), zero_attention: true },
    2,
  ),
  'interleaved positions of some dimensions, without W_O': bodyOf(
    { rope: { pairing: 'interleaved', dims: 4, theta: 100 } },
    1,
    false,
  ),
  'positions from tables': bodyOf({
    rope: { pairing: 'half', cos: tableOf(Math.cos), sin: tableOf(Math.sin) },
  }),
  'float64, in a window': bodyOf({
    precision: 'float64',
    window: { left: 40 },
    rope: { pairing: 'half' },
  }),
  bfloat16: bodyOf({ precision: 'bfloat16', rope: { pairing: 'half' } }, 2),
};
