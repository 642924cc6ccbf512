import type { Reading } from './reading.ts';
import { cosine, mean, sameBits } from './vectors.ts';

/** Two sentences that share a word at the same place, and one more that differs from the first by little. */
export interface Comparison {
  readonly plain: Reading;
  readonly deposit: Reading;
  readonly control: Reading;
}

/** What the comparison found, as text for a terminal. */
export function report({ plain, deposit, control }: Comparison): string {
  return [
    'Layer 0 of Universal Sentence Encoder Lite (4 heads, 256 numbers in, 512 out),',
    `attention computed by the service, kernel ${deposit.kernel}.`,
    '',
    ...[plain, deposit].flatMap(tokens),
    'Before attention: the vectors of “bank” in the two sentences',
    `  token embedding and position  ${bits(plain.embedding, deposit.embedding)}`,
    `  after the layer norm          ${bits(plain.normalized, deposit.normalized)}`,
    '',
    `Attention from “bank” in “${deposit.sentence}”`,
    ...attentionTable(deposit),
    '',
    'After attention (W_O and bias included, before the residual): cosine of the vectors of “bank”',
    `  “${plain.sentence}” and “${deposit.sentence}”: ${similarity(plain, deposit)}`,
    `  “${plain.sentence}” and “${control.sentence}”: ${similarity(plain, control)}`,
    '',
    'Before attention “bank” is the same vector in every sentence; afterwards it is a weighted sum over the',
    'words around it, so it differs where they differ (how much they do, not which sense of “bank” is meant).',
  ].join('\n');
}

function tokens({ sentence, tokens, ids }: Reading): string[] {
  return [`“${sentence}”`, `  ${tokens.map((token, i) => `${token} ${ids[i]}`).join(' | ')}`, ''];
}

function bits(x: Float32Array, y: Float32Array): string {
  return sameBits(x, y) ? `identical to the bit (${x.length} float32)` : `different, cosine ${cosine(x, y)}`;
}

function similarity(x: Reading, y: Reading): string {
  return cosine(x.output, y.output).toFixed(4);
}

function attentionTable({ tokens, weights }: Reading): string[] {
  const width = Math.max(...tokens.map((token) => token.length), '0.0000'.length) + 2;
  const line = (title: string, cells: readonly string[]) =>
    `  ${title.padEnd(6)}${cells.map((cell) => cell.padStart(width)).join('')}`;
  const numbers = (row: Iterable<number>) => Array.from(row, (weight) => weight.toFixed(4));
  return [line('', tokens), line('head 0', numbers(weights[0])), line('mean', numbers(mean(weights)))];
}
