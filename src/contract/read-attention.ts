import type { AttentionCall, HeadSource, Linear, Sizes, Tokens } from '../domain/call.ts';
import type { Limits } from '../domain/limits.ts';
import { problemAt } from '../domain/problem.ts';
import type { RealArray, Tensor } from '../domain/tensor.ts';
import {
  checkBatch,
  checkKvHeads,
  type Heads,
  headShapeOfRank,
  headStrides,
  readHeads,
} from './read-heads.ts';
import { readScore, readVisibility } from './read-options.ts';
import { readExtras, readProjections } from './read-projections.ts';
import { readReturns } from './read-return.ts';
import { type KeyOrigin, readRope } from './read-rope.ts';
import type {
  GradientsBody,
  MultiHeadAttentionBody,
  ScaledDotProductAttentionBody,
} from './schemas/compute.ts';
import type { AttentionOptions } from './schemas/options.ts';
import type { PastTokens } from './session.ts';
import { expectShape, shapeProblem } from './shapes.ts';

/*
 * From a validated body, tensors decoded, to one AttentionCall. Every rule about how shapes and options fit together
 * stands in the read-* files; each broken rule is a Problem that points at the field.
 */

export function readScaledDotProductAttention(
  body: ScaledDotProductAttentionBody,
  limits: Limits,
): AttentionCall {
  const heads = body.heads ?? (body.query.shape.length === 4 ? body.query.shape[1] : 1);
  const kvHeads = body.kv_heads ?? (body.key.shape.length === 4 ? body.key.shape[1] : heads);
  const query = readHeads('/query', body.query, heads, '/heads');
  checkKvHeads(heads, kvHeads);
  const key = readKeyLike('/key', body.key, kvHeads, query);
  const value = readValue('/value', body.value, kvHeads, query, key.rows, '/key');
  const past = readPast(body, kvHeads, query, key, value);

  const sizes: Sizes = {
    batch: query.batch,
    queries: query.rows,
    keys: key.rows + (past?.rows ?? 0),
    past: past?.rows ?? 0,
    extras: 0,
    heads,
    kvHeads,
    headSize: query.size,
    valueHeadSize: value.size,
    outputWidth: heads * value.size,
  };
  const origin: KeyOrigin =
    past === null ? 'elsewhere' : key.rows === query.rows ? 'query_tokens' : 'unclear';
  const { rank, batch, rows } = query;
  return {
    operation: 'scaled_dot_product_attention',
    query: { kind: 'given', view: query.view, shape: body.query.shape },
    key: { kind: 'given', view: key.view, shape: body.key.shape },
    value: { kind: 'given', view: value.view, shape: body.value.shape },
    past: past === null ? null : { key: past.key.view, value: past.value.view },
    extras: [],
    outputProjection: null,
    layout: null,
    ...readShared(body, sizes, origin, rank, limits),
    results: {
      rank,
      output: {
        shape: headShapeOfRank(rank, batch, heads, rows, value.size),
        strides: headStrides(rank, heads, rows, value.size),
      },
      presentKey: present(past?.key.rank ?? key.rank, sizes, query.size),
      presentValue: present(past?.value.rank ?? value.rank, sizes, value.size),
    },
    gradOutput: null,
  };
}

export function readGradients(body: GradientsBody, limits: Limits): AttentionCall {
  if (body.precision === 'bfloat16') {
    throw problemAt(
      'invalid_option',
      '/precision',
      'Expected "float32" or "float64": gradients are not computed in "bfloat16".',
    );
  }
  const call = readScaledDotProductAttention(body, limits);
  expectShape('/grad_output', body.grad_output, call.results.output.shape, 'the shape of the output');
  return { ...call, gradOutput: { data: body.grad_output.data, ...call.results.output.strides } };
}

/** `past` are tokens of the same layer that came before: for the one sample of a session. */
export function readMultiHeadAttention(
  body: MultiHeadAttentionBody,
  limits: Limits,
  past: PastTokens | null = null,
): AttentionCall {
  const heads = body.heads ?? 1;
  const kvHeads = body.kv_heads ?? heads;
  checkKvHeads(heads, kvHeads);
  const queryTokens = readTokens('/embeddings', body.embeddings);
  const keyTokens = readSource('/context', body.context, queryTokens, null) ?? queryTokens;
  const valueTokens = readSource('/value_context', body.value_context, queryTokens, keyTokens) ?? keyTokens;

  const projections = readProjections(
    body.projections,
    body.layout ?? 'in_out',
    { query: queryTokens.width, key: keyTokens.width, value: valueTokens.width },
    heads,
    kvHeads,
  );
  const { headSize, valueHeadSize } = projections;
  const precision = body.precision ?? 'float32';
  const extras = readExtras(body, precision, kvHeads * headSize, kvHeads * valueHeadSize);
  const sizes: Sizes = {
    batch: queryTokens.batch,
    queries: queryTokens.rows,
    keys: keyTokens.rows + (past?.rows ?? 0),
    past: past?.rows ?? 0,
    extras: extras.length,
    heads,
    kvHeads,
    headSize,
    valueHeadSize,
    outputWidth: projections.output?.headSize ?? heads * valueHeadSize,
  };
  const { rank, batch, rows } = queryTokens;
  const projected = (linear: Linear, tokens: Tokens): HeadSource => ({ kind: 'projected', linear, tokens });
  // Without W_O the concatenated heads are the output, so heads are strided inside a row; with it a row is one whole.
  const outputHeads = projections.output === null ? heads : 1;
  const outputSize = sizes.outputWidth / outputHeads;
  return {
    operation: 'multi_head_attention',
    query: projected(projections.query, queryTokens),
    key: projected(projections.key, keyTokens),
    value: projected(projections.value, valueTokens),
    past: past && { key: past.key, value: past.value },
    extras,
    outputProjection: projections.output,
    layout: body.layout ?? 'in_out',
    ...readShared(body, sizes, body.context === undefined ? 'query_tokens' : 'elsewhere', rank, limits),
    results: {
      rank,
      output: {
        shape: headShapeOfRank(rank, batch, outputHeads, rows, outputSize),
        strides: headStrides(rank, outputHeads, rows, outputSize),
      },
      presentKey: present(rank, sizes, headSize),
      presentValue: present(rank, sizes, valueHeadSize),
    },
    gradOutput: null,
  };
}

/** The options that every compute route shares. */
function readShared(
  options: AttentionOptions,
  sizes: Sizes,
  origin: KeyOrigin,
  rank: number,
  limits: Limits,
) {
  const precision = options.precision ?? 'float32';
  return {
    precision,
    sizes,
    score: readScore(options, sizes),
    visibility: readVisibility(options, sizes, rank),
    rope: readRope(options.rope, sizes, origin, rank),
    emptyRows: options.empty_rows ?? 'zero',
    returns: readReturns(options.return, sizes, precision, limits),
  } as const;
}

function present(rank: 2 | 3 | 4, sizes: Sizes, size: number) {
  return {
    shape: headShapeOfRank(rank, sizes.batch, sizes.kvHeads, sizes.keys, size),
    strides: headStrides(rank, sizes.kvHeads, sizes.keys, size),
  };
}

function readKeyLike(pointer: string, tensor: Tensor<RealArray>, kvHeads: number, query: Heads): Heads {
  const key = readHeads(pointer, tensor, kvHeads, '/kv_heads');
  checkBatch(pointer, tensor, key.batch, query.batch, '/query');
  if (key.size !== query.size) {
    const width =
      key.rank === 4
        ? ''
        : ` (${kvHeads} head${kvHeads === 1 ? '' : 's'} of ${query.size}: width ${kvHeads * query.size})`;
    throw shapeProblem(
      pointer,
      `head size d_k = ${query.size} as in /query${width}`,
      tensor,
      headsHint(key, query),
    );
  }
  return key;
}

/** A width that would fit with another number of key/value heads says so. */
function headsHint(key: Heads, query: Heads): string {
  const width = key.size * key.heads;
  const others = width / query.size;
  const fits = key.rank !== 4 && Number.isInteger(others) && query.heads % others === 0;
  return fits ? `It would fit with kv_heads ${others}.` : '';
}

function readValue(
  pointer: string,
  tensor: Tensor<RealArray>,
  kvHeads: number,
  query: Heads,
  rows: number,
  keyPointer: string,
): Heads {
  const value = readHeads(pointer, tensor, kvHeads, '/kv_heads');
  checkBatch(pointer, tensor, value.batch, query.batch, '/query');
  if (value.rows !== rows)
    throw shapeProblem(pointer, `one value for each of the ${rows} rows of ${keyPointer}`, tensor);
  return value;
}

function readPast(
  body: ScaledDotProductAttentionBody,
  kvHeads: number,
  query: Heads,
  key: Heads,
  value: Heads,
) {
  const { past_key, past_value } = body;
  if (past_key === undefined && past_value === undefined) return null;
  if (past_key === undefined || past_value === undefined) {
    const missing = past_key === undefined ? '/past_key' : '/past_value';
    throw problemAt(
      'invalid_option',
      missing,
      'Expected past_key and past_value together; got only one of them.',
    );
  }
  const pastKey = readKeyLike('/past_key', past_key, kvHeads, query);
  const pastValue = readValue('/past_value', past_value, kvHeads, query, pastKey.rows, '/past_key');
  if (pastValue.size !== value.size) {
    throw shapeProblem('/past_value', `head size d_v = ${value.size} as in /value`, past_value);
  }
  return { rows: pastKey.rows, key: pastKey, value: pastValue, rank: key.rank };
}

interface TokenTensor extends Tokens {
  readonly rank: 2 | 3;
  readonly batch: number;
}

function readTokens(pointer: string, tensor: Tensor<RealArray>): TokenTensor {
  const { shape, data } = tensor;
  const rank = shape.length;
  if (rank !== 2 && rank !== 3) throw shapeProblem(pointer, 'rank 3 [B, L, D] or rank 2 [L, D]', tensor);
  const batch = rank === 2 ? 1 : shape[0];
  const width = shape[rank - 1];
  if (batch === 0 || width === 0)
    throw shapeProblem(pointer, 'at least one sample and one number a token', tensor);
  return { rank, batch, rows: shape[rank - 2], width, data };
}

/** Tokens of another source; values must be as many as the keys. */
function readSource(
  pointer: string,
  tensor: Tensor<RealArray> | undefined,
  query: TokenTensor,
  keys: TokenTensor | null,
): TokenTensor | undefined {
  if (tensor === undefined) return undefined;
  const tokens = readTokens(pointer, tensor);
  checkBatch(pointer, tensor, tokens.batch, query.batch, '/embeddings');
  if (keys !== null && tokens.rows !== keys.rows) {
    throw shapeProblem(pointer, `${keys.rows} rows, one value for each key`, tensor);
  }
  return tokens;
}
