import { createHash } from 'node:crypto';
import type { AttentionCall } from '../domain/call.ts';
import type { Limits } from '../domain/limits.ts';
import { problemAt } from '../domain/problem.ts';
import { allocateReal, elementTypeOf, type RealArray, type Tensor } from '../domain/tensor.ts';
import type { Layer } from './layer.ts';
import { readLayerAttention, widthOf, widthProblem } from './read-layer.ts';
import type { LayerBody } from './schemas/layers.ts';
import type { AppendBody, SessionBody } from './schemas/sessions.ts';
import type { LastAppend, SessionShape, SessionState } from './session.ts';
import { shapeProblem } from './shapes.ts';

/**
 * What a session on a layer is like. Throws a Problem: `invalid_option` where the layer is not one of tokens that attend
 * to those before them, `over_budget`.
 */
export function readSession(body: SessionBody, layer: Layer, limits: Limits): SessionShape {
  checkSelfAttention(layer);
  const { rope, precision = 'float32' } = layer.body;
  const longest = Math.min(limits.sessionTokens, rope?.cos?.shape[0] ?? Number.POSITIVE_INFINITY);
  const { max_length: maxLength = longest } = body;
  if (maxLength > longest) {
    const bound =
      longest === limits.sessionTokens
        ? 'a session'
        : `layer ${JSON.stringify(layer.name)} has positions for`;
    throw problemAt(
      'over_budget',
      '/max_length',
      `Expected at most ${longest} tokens, as many as ${bound}; got ${maxLength}.`,
    );
  }
  // One token on its way through the layer shows everything else.
  const state: SessionState = {
    shape: { precision, kvHeads: 1, headSize: 1, valueHeadSize: 1, windowLeft: null, maxLength },
    position: 0,
    past: null,
    last: null,
  };
  const { sizes, visibility } = readAppend({ embeddings: zeroToken(layer.body) }, layer, state, limits);
  const { kvHeads, headSize, valueHeadSize } = sizes;
  return { precision, kvHeads, headSize, valueHeadSize, windowLeft: visibility.windowLeft, maxLength };
}

function checkSelfAttention({ name, body }: Layer): void {
  const width = widthOf(body, 'w_q');
  const others = [widthOf(body, 'w_k'), widthOf(body, 'w_v')];
  if (others.some((other) => other !== width)) {
    const detail = `Expected a layer whose keys and values come from the tokens of its queries, of width ${width}; those of ${JSON.stringify(name)} are ${others.join(' and ')} wide.`;
    throw problemAt('invalid_option', '/layer', detail);
  }
  const { causal } = body;
  if (typeof causal === 'object' && causal.offset !== 0) {
    const detail = `Expected a layer in which a token sees itself and those before it; ${JSON.stringify(name)} has causal {"offset": ${causal.offset}}.`;
    throw problemAt('invalid_option', '/layer', detail);
  }
}

function zeroToken(layer: LayerBody): Tensor<RealArray> {
  const precision = layer.precision ?? 'float32';
  const width = widthOf(layer, 'w_q') ?? 1;
  return { dtype: elementTypeOf(precision), shape: [1, width], data: allocateReal(precision, width) };
}

/**
 * Reads an append as a call over the tokens of the session and the new ones. An append that repeats the one before it is
 * read as that one was. Requests `inSequence` may have their tokens as a batch of one, as models declare them, and are
 * answered in that rank.
 *
 * Throws a Problem: `position_conflict`, `over_budget`, and those of reading the call of a layer.
 */
export function readAppend(
  { expected_position: expected, ...body }: AppendBody,
  layer: Layer,
  session: SessionState,
  limits: Limits,
  inSequence = false,
): AttentionCall {
  const { embeddings } = body;
  const count = countTokens(embeddings, layer, inSequence);
  const digest = digestOf(embeddings.data);
  const repeated =
    session.last?.position === expected && session.last?.digest === digest ? session.last : null;
  if (repeated === null) checkPosition(session, expected, count);
  const { position, past }: Pick<LastAppend, 'position' | 'past'> = repeated ?? session;
  const whole = {
    ...body,
    causal: true,
    precision: session.shape.precision,
    ...(layer.body.rope === undefined ? {} : { rope: { offset: position } }),
  };
  return {
    ...readLayerAttention(whole, layer, limits, past),
    append: { position, digest, isRepeated: repeated !== null },
  };
}

/** How many tokens are appended, once they have the shape of such. */
function countTokens(embeddings: Tensor, { name, body }: Layer, inSequence: boolean): number {
  const { shape } = embeddings;
  const letters = inSequence ? '[n, D] or [1, n, D]' : '[n, D]';
  const isOneSequence = shape.length === 2 || (inSequence && shape.length === 3 && shape[0] === 1);
  const count = shape[shape.length - 2];
  if (!isOneSequence || count === 0) {
    throw shapeProblem('/embeddings', `one token or more of one sequence, ${letters}`, embeddings);
  }
  const width = widthOf(body, 'w_q');
  if (width !== undefined && shape[shape.length - 1] !== width) {
    throw widthProblem('embeddings', letters, width, name, embeddings);
  }
  return count;
}

function checkPosition({ position, shape }: SessionState, expected: number | undefined, count: number): void {
  if (expected !== undefined && expected !== position) {
    throw problemAt(
      'position_conflict',
      '/expected_position',
      `The session is at position ${position}; got ${expected}.`,
    );
  }
  if (position + count > shape.maxLength) {
    const detail = `The session has ${position} of at most ${shape.maxLength} tokens; got ${count} more.`;
    throw problemAt('over_budget', '/embeddings', detail);
  }
}

function digestOf({ buffer, byteOffset, byteLength }: RealArray): string {
  return createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
}
