import type { TensorFields } from '../../contract/schemas/tensor.ts';

const known = new WeakMap<TensorFields, ReadonlyMap<string, string>>();

/**
 * The fields of an operation by the names that an input may have: the dotted path, `projections.w_q`, and its last name,
 * `w_q`, where no other field has that.
 */
export function inputNames(fields: TensorFields): ReadonlyMap<string, string> {
  let names = known.get(fields);
  if (names === undefined) {
    names = collectNames(Object.keys(fields));
    known.set(fields, names);
  }
  return names;
}

function collectNames(paths: readonly string[]): ReadonlyMap<string, string> {
  const names = new Map(paths.map((path) => [path, path]));
  for (const [leaf, [path, ...others]] of Map.groupBy(paths, leafOf)) {
    if (others.length === 0) names.set(leaf, path);
  }
  return names;
}

function leafOf(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}
