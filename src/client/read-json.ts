import { AttentionResponseError, beginningOf } from './errors.ts';

/** What an answer of JSON is known by as one of this service: members of it, and what each of them is. */
export type Marks<Result> = { readonly [Name in keyof Result]?: 'string' | 'number' | 'array' };

/**
 * Reads an answer of JSON.
 * @throws {AttentionResponseError} where it is no JSON, or no object with these marks.
 */
export function readJson<Result extends object>(answer: ArrayBuffer, marks: Marks<Result>): Result {
  const text = Buffer.from(answer).toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AttentionResponseError('The answer cannot be read: it is not JSON', { cause });
  }
  const expected = Object.entries(marks);
  if (!expected.every(([name, kind]) => kindOf(Reflect.get(Object(value), name)) === kind)) {
    const members = expected.map(([name, kind]) => `${name} (${kind})`).join(' and ');
    const got = beginningOf(text);
    throw new AttentionResponseError(
      `The answer cannot be read: expected an object with ${members}; got ${got}`,
    );
  }
  return value as Result;
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'array' : typeof value;
}
