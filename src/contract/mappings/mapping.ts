import type { LayerOptions } from '../schemas/layers.ts';

/** Where a tensor of a file goes: a tensor field of a layer, by its dotted path. */
export interface Target {
  readonly field: string;
  readonly isOptional?: boolean;
  /** Axes of size 1 in front are left out: [1, 1, D] is read as [D]. */
  readonly isVector?: boolean;
}

/** One way in which a file may name the tensors of a layer: the name below the module, and where it goes. */
export type Naming = Readonly<Record<string, Target>>;

/**
 * How a library names and lays out the parameters of its attention layer. A mapping says nothing about numbers: tensors
 * are taken as they lie, and the options say how they are to be read.
 */
export interface Mapping {
  readonly name: string;
  /** Whose files these are, for documentation. */
  readonly title: string;
  /** Where in a layer its attention stands, most usual first; '' where the prefix leads to it. */
  readonly modules: readonly string[];
  /** The ways of naming, the usual one first. */
  readonly namings: readonly Naming[];
  /** Names below the module that are no part of what is computed here, such as buffers. */
  readonly ignored: RegExp | null;
  /** What the library always computes with these parameters. */
  readonly options: LayerOptions;
  /** Whether the number of heads must be told, since neither the file nor its absence says it. */
  readonly needsHeads: boolean;
  /** Whether a file may say its options itself, in its metadata. */
  readonly hasOwnOptions: boolean;
  /** Whether kv_heads follows from the shapes: W_K has G·d_k output columns where W_Q has H·d_k. */
  readonly infersKvHeads: boolean;
}

/** What the mappings of other libraries have in common. */
export const FOREIGN = { needsHeads: true, hasOwnOptions: false, infersKvHeads: false } as const;

const optional = (field: string): Target => ({ field, isOptional: true });

/** `weight` and `bias` of the linear maps of a layer, by the names of their modules. */
export function linearMaps(modules: Readonly<Record<string, 'q' | 'k' | 'v' | 'o' | 'qkv'>>): Naming {
  return Object.fromEntries(
    Object.entries(modules).flatMap(([module, letter]) => [
      [`${module}.weight`, { field: `projections.w_${letter}` }],
      [`${module}.bias`, optional(`projections.b_${letter}`)],
    ]),
  );
}
