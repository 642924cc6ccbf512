import { type Fault, MOST_FAULTS, Problem, pointerToken, problemAt } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';
import { suggest } from '../validation/suggest.ts';
import { listWords } from '../validation/wording.ts';
import {
  basesThatFit,
  bestFit,
  type Candidate,
  type Chosen,
  candidatesOf,
  chosenOf,
  countOf,
  missingOf,
  namesOf,
  requiredOf,
  rivalsOf,
  type Shapes,
} from './choose.ts';
import type { Mapping } from './mapping.ts';
import { MAPPINGS } from './registry.ts';

/** Looking for what was meant costs no more than this, whatever is sent. */
const MOST_NAMES = 2000;
const MOST_SHOWN = 4;

/** A layer as it is found in a file. */
export interface Mapped {
  readonly tensors: readonly Chosen[];
  /** What the fields of a layer are named in this file, whether it has them or not. */
  readonly names: ReadonlyMap<string, string>;
}

/**
 * Finds the tensors of a layer in a file, by the names that a mapping gives them below a prefix. Tensors of other layers
 * and other parts of the model are passed over; one that stands beside those of the layer and is not known is refused,
 * since it may change what the layer computes; and so is a prefix below which there are several layers of attention.
 * @throws {Problem} mapping_mismatch, saying what was expected, what the file has, and what would fit.
 */
export function mapTensors(mapping: Mapping, prefix: string, shapes: Shapes): Mapped {
  const candidates = candidatesOf(mapping, prefix);
  const fit = bestFit(candidates, shapes);
  if (fit === undefined) throw noFit(mapping, prefix, candidates, shapes);
  const strangers = strangersOf(fit, mapping, shapes);
  if (strangers.length > 0) throw unknownTensors(mapping, fit, strangers, shapes);
  const rivals = fit.module === '' ? [] : rivalsOf(fit, basesThatFit(mapping, shapes));
  if (rivals.length > 0) throw severalFit(mapping, prefix, [fit.base, ...rivals]);
  return { tensors: chosenOf(fit, shapes), names: namesOf(fit) };
}

/** Names beside those of the layer that the mapping knows nothing of. */
function strangersOf({ base, naming }: Candidate, { ignored }: Mapping, shapes: Shapes): string[] {
  return [...shapes.keys()].filter((name) => {
    if (!name.startsWith(base)) return false;
    const below = name.slice(base.length);
    return !Object.hasOwn(naming, below) && ignored?.test(below) !== true;
  });
}

function unknownTensors(
  mapping: Mapping,
  { base, naming }: Candidate,
  strangers: readonly string[],
  shapes: Shapes,
): Problem {
  const known = Object.keys(naming);
  const errors = strangers.slice(0, MOST_FAULTS).map((name): Fault => {
    // What the file has as well was not meant.
    const near = suggest(name.slice(base.length), known)
      .map((one) => `${base}${one}`)
      .filter((one) => !shapes.has(one))
      .map(quoted);
    const meant = near.length === 0 ? `it has ${known.join(', ')}` : `did you mean ${listWords(near)}?`;
    return {
      pointer: pointerTo(name),
      detail: `Mapping ${mapping.name} computes nothing with ${quoted(name)}; ${meant}`,
    };
  });
  const more = strangers.length === 1 ? '' : ` And ${strangers.length - 1} more.`;
  const hint = base === '' ? ' Say which layer of the file is meant with prefix.' : '';
  const [{ detail }] = errors;
  const isEnded = more + hint === '' || detail.endsWith('?');
  return new Problem('mapping_mismatch', `${detail}${isEnded ? '' : '.'}${more}${hint}`, errors);
}

function severalFit({ name }: Mapping, prefix: string, bases: readonly string[]): Problem {
  const shown = bases.slice(0, MOST_SHOWN).map((base) => quoted(base.replace(/\.$/, '')));
  const more = bases.length > shown.length ? ` (${bases.length} such prefixes)` : '';
  const got = prefix === '' ? 'none' : quoted(prefix);
  const detail = `Expected the prefix of one layer of attention, for mapping ${name} ${listWords(shown)}${more}; got ${got}.`;
  return problemAt('mapping_mismatch', '/prefix', detail);
}

function noFit(mapping: Mapping, prefix: string, candidates: readonly Candidate[], shapes: Shapes): Problem {
  const [closest] = [...candidates].sort((a, b) => countOf(b, shapes) - countOf(a, shapes));
  const missing = missingOf(closest, shapes);
  const expected = missing.length === 0 ? Object.keys(closest.naming).slice(0, MOST_SHOWN) : missing;
  const taken = Object.keys(closest.naming).map((name) => `${closest.base}${name}`);
  const near = nearNames(expected, shapes, new Set(taken));
  const errors = expected.slice(0, MOST_FAULTS).map((name): Fault => {
    const meant = near.get(name);
    return {
      pointer: pointerTo(name),
      detail: `Missing; expected a tensor.${meant === undefined ? '' : ` The file has ${quoted(meant)}.`}`,
    };
  });
  const among = prefix === '' ? '' : ` at prefix ${quoted(prefix)}`;
  const detail =
    `Mapping ${mapping.name} expects ${expectation(mapping)}${among}. ` +
    `The file has ${wordNames(shapes, expected)}. `;
  return new Problem('mapping_mismatch', `${detail}${advice(mapping, prefix, shapes)}`.trim(), errors);
}

/** `q_proj.weight, k_proj.weight, v_proj.weight, o_proj.weight`, or the other way of naming. */
function expectation({ namings }: Mapping): string {
  const ways = namings.map((naming) => {
    const required = requiredOf(naming);
    return required.length === 0 ? `one of ${Object.keys(naming).join(', ')}` : required.join(', ');
  });
  return ways.join(', or ');
}

function wordNames(shapes: Shapes, missing: readonly string[]): string {
  const names = [...shapes.keys()].slice(0, MOST_SHOWN).map(quoted);
  if (shapes.size === 0) return 'no tensors';
  const shown = `${names.join(', ')}${shapes.size > MOST_SHOWN ? ', …' : ''}`;
  const lacking = listWords(missing.slice(0, MOST_SHOWN).map(quoted));
  return `${shapes.size} ${shapes.size === 1 ? 'tensor' : 'tensors'}, ${shown}, but not ${lacking}`;
}

/** What would fit: another prefix for this mapping, nearest first, or else another mapping. */
function advice(mapping: Mapping, prefix: string, shapes: Shapes): string {
  const others = [mapping, ...MAPPINGS.filter((other) => other !== mapping)];
  for (const other of others) {
    const prefixes = prefixesThatFit(other, shapes);
    if (prefixes.length === 0) continue;
    const near = suggest(prefix, prefixes);
    const shown = (near.length > 0 ? near : prefixes.slice(0, MOST_SHOWN)).map((one) =>
      one === '' ? 'no prefix' : `prefix ${quoted(one)}`,
    );
    const more = prefixes.length > shown.length ? ` (${prefixes.length} such prefixes)` : '';
    return `It would fit ${other === mapping ? '' : `mapping ${other.name} `}with ${listWords(shown)}${more}.`;
  }
  return '';
}

/** Prefixes that would do, the shortest for each place. */
function prefixesThatFit(mapping: Mapping, shapes: Shapes): string[] {
  const bases = basesThatFit(mapping, shapes, [...shapes.keys()].slice(0, MOST_NAMES));
  const prefixes = bases.map((base) => {
    const module = mapping.modules.find((one) => one !== '' && endsWithModule(base, one)) ?? '';
    const isClear = rivalsOf({ base, module }, bases).length === 0;
    return base.slice(0, isClear ? base.length - module.length : undefined).replace(/\.$/, '');
  });
  return [...new Set(prefixes)];
}

function endsWithModule(base: string, module: string): boolean {
  return base === module || base.endsWith(`.${module}`);
}

/** For each missing name the most similar one that the file has, if there is one that is not a name of another. */
function nearNames(
  missing: readonly string[],
  shapes: Shapes,
  taken: ReadonlySet<string>,
): Map<string, string> {
  const names = [...shapes.keys()].slice(0, MOST_NAMES).filter((name) => !taken.has(name));
  const near = new Map<string, string>();
  for (const name of missing.slice(0, MOST_SHOWN)) {
    const [nearest] = suggest(name, names);
    if (nearest !== undefined) near.set(name, nearest);
  }
  return near;
}

function pointerTo(name: string): string {
  return `/${pointerToken(name)}`;
}
