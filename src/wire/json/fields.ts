import type { TensorFields } from '../../contract/schemas/tensor.ts';
import type { ElementKind } from '../../domain/tensor.ts';

/** What a body holds at known places, as a tree of member names: the scanner walks down it and the body together. */
export interface FieldNode<Kind = ElementKind> {
  /** Dotted path from the top. */
  readonly path: string;
  /** The kind of the value that is lifted out here; undefined for an object or array on the way to some. */
  readonly kind?: Kind | undefined;
  readonly members: ReadonlyMap<string, FieldNode<Kind>>;
  /** What every element is, where an array of objects stands here. */
  readonly elements?: FieldNode<Kind> | undefined;
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
