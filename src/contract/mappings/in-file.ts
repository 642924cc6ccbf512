import { Problem, pointerToken } from '../../domain/problem.ts';

/** What may be the name of a field or a pointer to one, `w_q` or `/projections/w_q`, in a text. */
const NAMES = /\/?\w+(?:[/.]\w+)*/g;

/**
 * A problem of a layer in the words of the file that it was read from, which calls the fields of a layer by its own
 * `names`. What is no Problem is as it was.
 */
export function inNamesOfFile(error: unknown, names: ReadonlyMap<string, string>): unknown {
  if (!(error instanceof Problem)) return error;
  const words = new Map<string, string>();
  for (const [field, source] of names) {
    words.set(`/${field.replaceAll('.', '/')}`, `/${pointerToken(source)}`);
    words.set(field.slice(field.lastIndexOf('.') + 1), source);
  }
  const translated = (text: string) => text.replaceAll(NAMES, (word) => words.get(word) ?? word);
  const errors = error.errors.map(({ pointer, detail }) => ({
    pointer: words.get(pointer) ?? pointer,
    detail: translated(detail),
  }));
  return new Problem(error.code, translated(error.message), errors, error.retryAfterSeconds);
}
