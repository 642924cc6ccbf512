import { type Fault, Problem, pointerToken } from '../../domain/problem.ts';
import { REQUEST } from './decode.ts';
import { METADATA } from './header.ts';

const PLACE = `/${pointerToken(METADATA)}/${pointerToken(REQUEST)}`;

/**
 * A problem of what the metadata of a file says, named as its place: nobody finds "/causal" in a file, or byte 3 of a text
 * that is somewhere in it. Of the faults, those that `isThere` tells are meant. What is no Problem is as it was.
 */
export function inRequest(error: unknown, isThere: (pointer: string) => boolean = () => true): unknown {
  if (!(error instanceof Problem)) return error;
  const errors = error.errors.map((fault): Fault => {
    const { pointer, detail } = fault;
    return isThere(pointer) ? { pointer: PLACE + pointer, detail } : fault;
  });
  if (errors.every((fault, at) => fault === error.errors[at])) return error;
  const isFirst = errors[0] !== error.errors[0];
  const detail = isFirst ? `${METADATA}.${REQUEST}: ${error.message}` : error.message;
  return new Problem(error.code, detail, errors, error.retryAfterSeconds);
}

/**
 * Whether a JSON Pointer leads to what `request`, without its tensors, says itself, or to what is missing in an object
 * of it; what is missing in `projections` is missing among the tensors of the file.
 */
export function leadsInto(request: object, pointer: string): boolean {
  const names = pointer.split('/').slice(1);
  let inner: unknown = request;
  for (const [depth, name] of names.entries()) {
    if (typeof inner !== 'object' || inner === null) return false;
    if (!Object.hasOwn(inner, name)) {
      return depth > 0 && depth === names.length - 1 && names[0] !== 'projections';
    }
    inner = Reflect.get(inner, name);
  }
  return names.length > 0;
}
