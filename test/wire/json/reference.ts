import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';
import type { TensorFields } from '../../../src/contract/schemas/tensor.ts';
import { Problem } from '../../../src/domain/problem.ts';
import type { Decoded } from '../../../src/wire/format.ts';
import { decode, FIELDS } from './helpers.ts';

type Nested = number | boolean | readonly Nested[];

interface Expected {
  readonly envelope: Record<string, unknown>;
  readonly tensors: Record<string, { readonly shape: number[]; readonly data: number[] }>;
}

/** What a document with nested arrays at its tensor paths means: JSON.parse, then Math.fround. */
export function referenceDecode(text: string, fields: TensorFields = FIELDS): Expected {
  const envelope = JSON.parse(text) as Record<string, unknown>;
  const tensors: Expected['tensors'] = {};
  for (const [path, kind] of Object.entries(fields)) {
    const names = path.split('.');
    const last = names.pop() as string;
    let parent: unknown = envelope;
    for (const name of names) parent = own(parent, name);
    const value = own(parent, last);
    if (value === undefined) continue;
    const data = ([value] as unknown[]).flat(5).map(Number);
    tensors[path] = { shape: shapeOf(value as Nested), data: kind === 'real' ? data.map(Math.fround) : data };
    delete (parent as Record<string, unknown>)[last];
  }
  return { envelope, tensors };
}

function own(value: unknown, name: string): unknown {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

function shapeOf(value: Nested): number[] {
  if (!Array.isArray(value)) return [];
  return [value.length, ...(value.length === 0 ? [] : shapeOf(value[0] as Nested))];
}

/** -0 and 0 differ, as do own and inherited names. */
export function expectDecodes(decoded: Decoded, expected: Expected): void {
  const tensors = Object.fromEntries(
    Object.entries(decoded.tensors).map(([path, { shape, data }]) => [
      path,
      { shape: [...shape], data: [...data] },
    ]),
  );
  const got = { envelope: decoded.envelope, tensors };
  if (!isDeepStrictEqual(got, expected)) expect(got).toStrictEqual(expected);
}

/**
 * For any bytes: decodes, or throws a Problem. What it decodes is JSON to JSON.parse too; what JSON.parse does
 * not take, it does not. Returns whether it decoded.
 */
export function decodesOrRefuses(bytes: Uint8Array): boolean {
  try {
    decode(bytes, { envelopeBytes: 4096 });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    expect(error.errors[0].pointer).toMatch(/^(\/|$)/);
    return false;
  }
  JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  return true;
}
