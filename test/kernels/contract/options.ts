import type { Rope, Sizes, Visibility } from '../../../src/domain/call.ts';
import type { Precision } from '../../../src/domain/tensor.ts';
import {
  type CallOptions,
  causal,
  makeCall,
  normals,
  randomBias,
  randomMask,
  real,
} from '../../support/calls.ts';
import type { Projections } from '../../support/projections.ts';
import { seeded } from '../../support/random.ts';

type OptionSet = (precision: Precision) => CallOptions;

const SIZES = { batch: 2, queries: 9, newKeys: 13, heads: 4, headSize: 8 } as const;
const FEW = { batch: 2, queries: 2, newKeys: 130, heads: 4, headSize: 8 } as const;
const sizesOf = (options: CallOptions): Sizes => makeCall(options).sizes;

const ROPE: Rope = {
  pairing: 'half',
  theta: 10000,
  dims: 8,
  queryPositions: { kind: 'from', first: 7 },
  keyPositions: { kind: 'from', first: 3 },
  table: null,
};

const PROJECTIONS: Projections = {
  width: 12,
  contextWidth: 10,
  layout: 'in_out',
  packed: null,
  bias: true,
  outputWidth: 6,
};
const SELF = { ...SIZES, newKeys: SIZES.queries };

/** Every option of a call on its own, and many of them together. */
export const OPTION_SETS: Readonly<Record<string, OptionSet>> = {
  'a plain call': (precision) => ({ ...SIZES, precision }),
  'heads between each other': (precision) => ({ ...SIZES, precision, storage: 'rows_first' }),
  'values of another size': (precision) => ({ ...SIZES, precision, valueHeadSize: 5 }),
  'grouped keys and values': (precision) => ({ ...SIZES, precision, kvHeads: 2 }),
  'one key/value head': (precision) => ({ ...SIZES, precision, kvHeads: 1, storage: 'rows_first' }),
  'a negative scale': (precision) => ({ ...SIZES, precision, score: { scale: -0.7 } }),
  'scale 0': (precision) => ({ ...SIZES, precision, score: { scale: 0 } }),
  'a softcap': (precision) => ({ ...SIZES, precision, score: { softcap: 1.5 } }),
  'a bias': (precision) => {
    const bias = randomBias(sizesOf(SIZES), seeded(2), precision);
    return { ...SIZES, precision, score: { bias } };
  },
  'a bias for all samples and heads': (precision) => {
    const { data, queryStride } = randomBias(sizesOf({ ...SIZES, batch: 1, heads: 1 }), seeded(2), precision);
    return { ...SIZES, precision, score: { bias: { data, batchStride: 0, headStride: 0, queryStride } } };
  },
  ALiBi: (precision) => ({
    ...SIZES,
    precision,
    score: { alibiSlopes: real(precision, [0.5, 0.25, 0.125, 2]) },
    visibility: causal(2, 4),
  }),
  sinks: (precision) => ({ ...SIZES, precision, score: { sinks: real(precision, [-3, 0, 2, 9]) } }),
  'sinks and rows without a key': (precision) => ({
    ...SIZES,
    precision,
    score: { sinks: real(precision, [-3, 0, 2, 9]) },
    visibility: causal(2, -4),
  }),
  'rotary positions, half': (precision) => ({ ...SIZES, precision, rope: ROPE }),
  'rotary positions, interleaved, some dimensions': (precision) => ({
    ...SIZES,
    precision,
    rope: { ...ROPE, pairing: 'interleaved', dims: 6, theta: 500 },
  }),
  'rotary positions from tables': (precision) => ({
    ...SIZES,
    precision,
    kvHeads: 2,
    rope: {
      ...ROPE,
      queryPositions: { kind: 'table', table: positions(2 * 9, 40), batchStride: 9 },
      keyPositions: { kind: 'table', table: positions(13, 40), batchStride: 0 },
      table: { cos: normals(precision, 160, seeded(3)), sin: normals(precision, 160, seeded(4)), rows: 40 },
    },
  }),
  'past keys': (precision) => ({ ...SIZES, precision, past: 6, visibility: causal(2, 6), rope: ROPE }),
  'extra keys': (precision) => ({ ...SIZES, precision, extras: 2, kvHeads: 2, visibility: causal(2, -3) }),
  'a causal offset of each sample': (precision) => ({
    ...SIZES,
    precision,
    visibility: { causal: true, offsets: [4, -2], keyLengths: [13, 7] },
  }),
  'a window': (precision) => ({ ...SIZES, precision, visibility: { windowLeft: 2, windowRight: 1 } }),
  'a causal window of the current key alone': (precision) => ({
    ...SIZES,
    precision,
    visibility: { ...causal(2, 3), windowLeft: 0 },
  }),
  'lengths, one of them 0': (precision) => ({ ...SIZES, precision, visibility: { keyLengths: [0, 11] } }),
  masks: (precision) => {
    const sizes = sizesOf(SIZES);
    const visibility = {
      allow: randomMask(sizes, seeded(5), 0.6),
      forbid: randomMask(sizes, seeded(6), 0.3),
      keyValid: randomMask({ ...sizes, heads: 1, queries: 1 }, seeded(7), 0.8).data,
    };
    return { ...SIZES, precision, visibility };
  },
  'a mask that leaves nothing': (precision) => ({
    ...SIZES,
    precision,
    visibility: { allow: randomMask(sizesOf(SIZES), seeded(5), 0) },
  }),
  projections: (precision) => ({ ...SIZES, precision, projections: PROJECTIONS }),
  'projections [out, in]': (precision) => ({
    ...SIZES,
    precision,
    valueHeadSize: 3,
    projections: { ...PROJECTIONS, layout: 'out_in', bias: false },
  }),
  'packed projections, qkv': (precision) => ({
    ...SELF,
    precision,
    kvHeads: 2,
    projections: { ...PROJECTIONS, contextWidth: null, packed: 'qkv', outputWidth: null },
  }),
  'packed projections, per head': (precision) => ({
    ...SELF,
    precision,
    projections: { ...PROJECTIONS, contextWidth: null, packed: 'per_head', layout: 'out_in' },
  }),
  'packed projections, per group': (precision) => ({
    ...SELF,
    precision,
    kvHeads: 2,
    projections: { ...PROJECTIONS, contextWidth: null, packed: 'per_kv_group' },
  }),
  'wide projections': (precision) => ({
    ...SELF,
    precision,
    queries: 70,
    newKeys: 70,
    projections: { ...PROJECTIONS, width: 300, contextWidth: null, outputWidth: 130 },
  }),
  'few queries over many keys': (precision) => ({ ...FEW, precision, valueHeadSize: 70 }),
  'few queries of groups, after past keys': (precision) => ({
    ...FEW,
    precision,
    kvHeads: 1,
    headSize: 37,
    past: 190,
    newKeys: 2,
    storage: 'rows_first',
    visibility: causal(2, 190),
  }),
  'few queries, all at once': (precision) =>
    allAtOnce(precision, FEW, { offsets: [150, 62], windowLeft: 70, keyLengths: [153, 95] }),
  'few queries of many heads over many blocks of keys, all at once': (precision) =>
    allAtOnce(
      precision,
      { ...FEW, queries: 3, newKeys: 1150, heads: 18 },
      { offsets: [1180, 700], windowLeft: 650, keyLengths: [1183, 960] },
    ),
  'one query of many heads that share their keys': (precision) => ({
    ...FEW,
    precision,
    queries: 1,
    heads: 23,
    kvHeads: 1,
    visibility: { keyLengths: [130, 77] },
  }),
  'few queries, some without a key': (precision) => ({
    ...FEW,
    precision,
    score: { sinks: real(precision, [-3, 0, 2, 9]) },
    visibility: causal(2, -1),
  }),
  'all at once': (precision) =>
    allAtOnce(
      precision,
      { ...SIZES, queries: 41, newKeys: 70 },
      { offsets: [40, 62], windowLeft: 30, keyLengths: [103, 95] },
    ),
};

/** A causal call from tokens with past and extra keys, in which every option has its say. */
function allAtOnce(precision: Precision, base: CallOptions, reach: Partial<Visibility>): CallOptions {
  const options = { ...base, precision, past: 33, extras: 1, kvHeads: 2 };
  const sizes = sizesOf(options);
  const perHead = (of: (head: number) => number) =>
    Array.from({ length: sizes.heads }, (_, head) => of(head));
  return {
    ...options,
    projections: PROJECTIONS,
    rope: ROPE,
    score: {
      scale: 0.4,
      softcap: 3,
      bias: randomBias(sizes, seeded(8), precision),
      alibiSlopes: real(
        precision,
        perHead((head) => 2 ** -(1 + (head % 4))),
      ),
      sinks: real(
        precision,
        perHead((head) => [1, 0, -1, 2][head % 4]),
      ),
    },
    visibility: {
      causal: true,
      ...reach,
      allow: randomMask(sizes, seeded(9), 0.8),
      forbid: randomMask(sizes, seeded(10), 0.1),
      keyValid: randomMask({ ...sizes, heads: 1, queries: 1 }, seeded(11), 0.9).data,
    },
  };
}

function positions(count: number, end: number): Float64Array {
  const random = seeded(count);
  return Float64Array.from({ length: count }, () => random.below(end));
}
