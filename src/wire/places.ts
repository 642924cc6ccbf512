import { type Fault, Problem } from '../domain/problem.ts';

/**
 * Where a body has what its decoded form has elsewhere: for each JSON Pointer into the decoded form the one into the
 * body.
 */
export type Places = Readonly<Record<string, string>>;

/** The error, with pointers to where the body has what is at fault. */
export function atPlaces(error: unknown, places: Places): unknown {
  if (!(error instanceof Problem)) return error;
  const errors = error.errors.map((fault): Fault => ({ ...fault, pointer: placeOf(fault.pointer, places) }));
  const [first] = error.errors;
  const leads = first !== undefined && first.pointer !== '' && error.message.startsWith(`${first.pointer}: `);
  const message = leads ? errors[0].pointer + error.message.slice(first.pointer.length) : error.message;
  return new Problem(error.code, message, errors, error.retryAfterSeconds);
}

/** By the longest place that leads to it. */
function placeOf(pointer: string, places: Places): string {
  let inner = pointer;
  while (inner !== '') {
    if (Object.hasOwn(places, inner)) return places[inner] + pointer.slice(inner.length);
    inner = inner.slice(0, inner.lastIndexOf('/'));
  }
  return pointer;
}
