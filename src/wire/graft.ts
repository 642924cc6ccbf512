import { pointerToken, problemAt } from '../domain/problem.ts';
import { cut } from '../domain/quoted.ts';
import type { Tensor } from '../domain/tensor.ts';
import { isForbiddenName } from './names.ts';

/**
 * Puts each tensor into the envelope at its dotted path, making the objects on the way that are not there.
 * Changes the envelope and returns it. Only own properties are followed, and none is overwritten.
 *
 * Throws `malformed_body` for a path with a name such as `__proto__`, and `invalid_request` where the envelope
 * holds something else at the path or on the way to it.
 */
export function graft(
  envelope: Record<string, unknown>,
  tensors: Readonly<Record<string, Tensor>>,
): Record<string, unknown> {
  for (const [path, tensor] of Object.entries(tensors)) place(envelope, path.split('.'), tensor);
  return envelope;
}

function place(envelope: Record<string, unknown>, names: readonly string[], tensor: Tensor): void {
  let parent = envelope;
  for (const [depth, name] of names.entries()) {
    const pointer = `/${names
      .slice(0, depth + 1)
      .map(pointerToken)
      .join('/')}`;
    if (isForbiddenName(name)) {
      throw problemAt('malformed_body', pointer, `Expected the name of a field; got ${name}`);
    }
    const isLast = depth === names.length - 1;
    if (!Object.hasOwn(parent, name)) {
      const child = isLast ? tensor : {};
      parent[name] = child;
      parent = child as Record<string, unknown>;
      continue;
    }
    const child = parent[name];
    if (isLast) {
      throw problemAt(
        'invalid_request',
        pointer,
        'Expected one value for this field; got a tensor and another',
      );
    }
    if (typeof child !== 'object' || child === null || Array.isArray(child)) {
      throw problemAt(
        'invalid_request',
        pointer,
        `Expected an object, which holds the tensor ${cut(names[names.length - 1])}`,
      );
    }
    parent = child as Record<string, unknown>;
  }
}
