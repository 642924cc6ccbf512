import type { Mapping, Naming, Target } from './mapping.ts';

/** A tensor of a file that goes somewhere: its name there, and the shape in which it is read. */
export interface Chosen {
  readonly source: string;
  readonly field: string;
  readonly shape: readonly number[];
}

export type Shapes = ReadonlyMap<string, readonly number[]>;

/** One place and way in which the tensors of a layer may be named: `base` in front of each name. */
export interface Candidate {
  readonly base: string;
  /** The end of `base` that is no part of the prefix, but where the mapping looks by itself. */
  readonly module: string;
  readonly naming: Naming;
}

/** Every way in which a file may hold the layer at a prefix, with or without the dot at its end. */
export function candidatesOf({ modules, namings }: Mapping, prefix: string): Candidate[] {
  const bases = prefix === '' || prefix.endsWith('.') ? [prefix] : [`${prefix}.`, prefix];
  return bases.flatMap((base) =>
    modules.flatMap((module) => namings.map((naming) => ({ base: `${base}${module}`, module, naming }))),
  );
}

/** Names that must be there and are not. */
export function missingOf({ base, naming }: Omit<Candidate, 'module'>, shapes: Shapes): string[] {
  return requiredOf(naming)
    .map((name) => `${base}${name}`)
    .filter((name) => !shapes.has(name));
}

export function requiredOf(naming: Naming): string[] {
  return Object.keys(naming).filter((name) => naming[name].isOptional !== true);
}

/** How many of a candidate's tensors the file has. */
export function countOf({ base, naming }: Candidate, shapes: Shapes): number {
  return Object.keys(naming).filter((name) => shapes.has(`${base}${name}`)).length;
}

/** The candidate of which the file has everything that must be there, and most of all; undefined where it has none. */
export function bestFit(candidates: readonly Candidate[], shapes: Shapes): Candidate | undefined {
  const fitting = candidates.filter((candidate) => missingOf(candidate, shapes).length === 0);
  const counts = fitting.map((candidate) => countOf(candidate, shapes));
  const most = Math.max(0, ...counts);
  return most === 0 ? undefined : fitting[counts.indexOf(most)];
}

/** The tensors of a candidate, each with where it goes. */
export function chosenOf({ base, naming }: Candidate, shapes: Shapes): Chosen[] {
  return Object.entries(naming).flatMap(([name, target]) => {
    const source = `${base}${name}`;
    const shape = shapes.get(source);
    return shape === undefined ? [] : [{ source, field: target.field, shape: readShape(target, shape) }];
  });
}

/** What a candidate names the fields of a layer, whether the file has them or not. */
export function namesOf({ base, naming }: Candidate): Map<string, string> {
  return new Map(Object.entries(naming).map(([name, { field }]) => [field, `${base}${name}`]));
}

/** The places among `names` below which the file has everything that a mapping needs. */
export function basesThatFit(
  { namings }: Mapping,
  shapes: Shapes,
  names: Iterable<string> = shapes.keys(),
): string[] {
  const bases = new Set<string>();
  const ways = namings.map((naming) => ({ naming, first: requiredOf(naming)[0] }));
  for (const name of names) {
    for (const { naming, first } of ways) {
      if (first === undefined || !name.endsWith(first)) continue;
      const base = name.slice(0, -first.length);
      if (missingOf({ base, naming }, shapes).length === 0) bases.add(base);
    }
  }
  return [...bases];
}

/** Other places that the same prefix could mean, where `base` is one that the mapping looks at by itself, in a module. */
export function rivalsOf(
  { base, module }: Pick<Candidate, 'base' | 'module'>,
  bases: readonly string[],
): string[] {
  if (module === '') return [];
  const prefix = base.slice(0, -module.length);
  return bases.filter((other) => other !== base && other.startsWith(prefix));
}

function readShape({ isVector }: Target, shape: readonly number[]): readonly number[] {
  const isFlat = isVector === true && shape.slice(0, -1).every((size) => size === 1);
  return isFlat ? shape.slice(-1) : shape;
}
