/** A row of the table: one call, as every contender computes it. Letters as in src/domain/call.ts. */
export interface Shape {
  readonly name: string;
  /** `layer`: Q, K, V and output projections around the attention; `attention`: softmax(QKᵀ/√d)V alone. */
  readonly kind: 'layer' | 'attention';
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  /** Of the keys, those that come from a cache. */
  readonly past: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly causal: boolean;
  /** Keys before the current one that a query sees; null is all. */
  readonly windowLeft: number | null;
  /** An additive bias [1, H, L, S], and a mask that takes the last sixteenth of the keys as padding. */
  readonly biasAndPadding: boolean;
  /** Whether the whole attention map is returned. */
  readonly weights: boolean;
  readonly gradients: boolean;
  /** Of our own contenders, and then there are no others. */
  readonly precision: 'float32' | 'bfloat16';
  /** The kernel of our own contenders where it is not the one that is asked for or preferred, and then there are no others. */
  readonly kernel: string | null;
  /** The shape whose time or rate this one is to be seen beside. */
  readonly beside: { readonly shape: string; readonly by: 'time' | 'rate' } | null;
}

const PLAIN = {
  batch: 1,
  past: 0,
  causal: false,
  windowLeft: null,
  biasAndPadding: false,
  weights: false,
  gradients: false,
  precision: 'float32',
  kernel: null,
  beside: null,
} as const;

function layer(name: string, tokens: number, width: number, heads: number, batch = 1): Shape {
  const headSize = width / heads;
  return {
    ...PLAIN,
    name,
    kind: 'layer',
    batch,
    queries: tokens,
    keys: tokens,
    heads,
    kvHeads: heads,
    headSize,
  };
}

function attention(name: string, tokens: number, heads: number, headSize: number): Shape {
  return {
    ...PLAIN,
    name,
    kind: 'attention',
    queries: tokens,
    keys: tokens,
    heads,
    kvHeads: heads,
    headSize,
  };
}

function ragged(tokens: number, round: number): Shape[] {
  const options = { biasAndPadding: true } as const;
  const name = `round-${round}`;
  const beside = { shape: name, by: 'rate' } as const;
  return [
    { ...attention(name, round, 8, 80), ...options },
    { ...attention(`ragged-${tokens}`, tokens, 8, 80), ...options, beside },
  ];
}

/** A shape in bfloat16, beside itself in float32. */
function inBfloat16(shape: Shape): Shape {
  const beside = { shape: shape.name, by: 'time' } as const;
  return { ...shape, name: `${shape.name}-bfloat16`, precision: 'bfloat16', beside };
}

/** A shape in WebAssembly, beside itself in native code. */
function inWasm(shape: Shape): Shape {
  const beside = { shape: shape.name, by: 'time' } as const;
  return { ...shape, name: `${shape.name}-wasm`, kernel: 'wasm-relaxed', beside };
}

const BASE = layer('base', 512, 768, 12);
const LONG = layer('long', 2048, 768, 12);
const CORE = attention('core', 4096, 12, 64);
const DECODE = { queries: 1, keys: 4096, past: 4095, heads: 32, kvHeads: 8, headSize: 128, causal: true };

export const SHAPES: readonly Shape[] = [
  layer('tiny', 16, 64, 4),
  layer('small', 128, 384, 12),
  BASE,
  layer('batch', 128, 768, 12, 16),
  LONG,
  CORE,
  { ...CORE, name: 'core-causal', causal: true },
  { ...CORE, name: 'core-window', causal: true, windowLeft: 255 },
  ...ragged(127, 128),
  ...ragged(513, 512),
  ...ragged(2049, 2048),
  { ...PLAIN, ...DECODE, name: 'decode', kind: 'attention' },
  { ...BASE, name: 'base-weights', weights: true, beside: { shape: 'base', by: 'time' } },
  { ...CORE, name: 'core-gradients', gradients: true },
  ...[BASE, LONG].map(inBfloat16),
  inWasm(BASE),
];

/** The same with few tokens: to see that everything runs, not how fast. */
export function shortened(shape: Shape): Shape {
  const shorter = (tokens: number) => (tokens > 300 ? Math.floor(tokens / 16) + (tokens % 16) : tokens);
  const keys = shorter(shape.keys);
  return {
    ...shape,
    batch: Math.min(shape.batch, 2),
    queries: shorter(shape.queries),
    keys,
    past: shape.past === 0 ? 0 : keys - shape.queries,
    windowLeft: shape.windowLeft === null ? null : 31,
  };
}

export function width({ heads, headSize }: Shape): number {
  return heads * headSize;
}

/** Keys that are not padding. */
export function realKeys({ keys, biasAndPadding }: Shape): number {
  return biasAndPadding ? keys - Math.floor(keys / 16) : keys;
}

/** Whether causality and window let query i see key j. */
export function isVisible({ causal, windowLeft, past }: Shape, query: number, key: number): boolean {
  const position = query + past;
  return (!causal || key <= position) && (windowLeft === null || key >= position - windowLeft);
}

/**
 * Floating-point operations: 8BND² for the projections, 4d for every pair of a query and a key that it may see. The
 * gradients take 3.5 times the attention: two products forward, five back with the scores computed again.
 */
export function flops(shape: Shape): number {
  const { kind, batch, queries, heads, headSize, causal, windowLeft, past } = shape;
  let pairs = 0;
  for (let query = 0; query < queries; query++) {
    const to = Math.min(realKeys(shape), causal ? query + past + 1 : Number.POSITIVE_INFINITY);
    const from = windowLeft === null ? 0 : Math.max(0, query + past - windowLeft);
    pairs += Math.max(0, to - from);
  }
  const projections = kind === 'layer' ? 8 * batch * queries * width(shape) ** 2 : 0;
  return projections + 4 * batch * heads * pairs * headSize * (shape.gradients ? 3.5 : 1);
}

/** Bytes of keys and values that one step of decoding reads; null for other shapes, which arithmetic bounds. */
export function streamedBytes({ past, batch, kvHeads, keys, headSize }: Shape): number | null {
  return past === 0 ? null : 2 * 4 * batch * kvHeads * keys * headSize;
}
