import type { TensorFields } from '../../contract/schemas/tensor.ts';
import type { ElementKind } from '../../domain/tensor.ts';

/** The tensor fields of an operation as a tree of member names, as the scanner walks down the body. */
export interface FieldNode {
  /** Dotted path from the top. */
  readonly path: string;
  /** The kind of the tensor that stands here; undefined for an object on the way to some. */
  readonly kind: ElementKind | undefined;
  readonly members: ReadonlyMap<string, FieldNode>;
}

interface GrowingNode extends FieldNode {
  kind: ElementKind | undefined;
  readonly members: Map<string, GrowingNode>;
}

const known = new WeakMap<TensorFields, FieldNode>();

/** The tree of these fields, made once for each operation. */
export function fieldTree(fields: TensorFields): FieldNode {
  let tree = known.get(fields);
  if (tree === undefined) {
    tree = buildTree(fields);
    known.set(fields, tree);
  }
  return tree;
}

function buildTree(fields: TensorFields): FieldNode {
  const root = node('');
  for (const [path, kind] of Object.entries(fields)) {
    let parent = root;
    for (const name of path.split('.')) {
      let child = parent.members.get(name);
      if (child === undefined) {
        child = node(parent === root ? name : `${parent.path}.${name}`);
        parent.members.set(name, child);
      }
      parent = child;
    }
    parent.kind = kind;
  }
  return root;
}

function node(path: string): GrowingNode {
  return { path, kind: undefined, members: new Map() };
}
