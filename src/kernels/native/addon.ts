import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Precision } from '../../domain/tensor.ts';
import type { Description } from './description.ts';

/** The face of the C++ addon; addon/binding.cc. */
export interface Addon {
  /** What this machine runs, fastest first: instruction sets with a precision, and the width of their panels. */
  instructionSets(): InstructionSet[];
  /** Reads and checks the description of a job, once. Throws a RangeError that names what does not fit. */
  open(numbers: Description['numbers'], arrays: Description['arrays'], instructionSet: string): OpenedCall;
  /** Computes rows [from, to) of one head of a part. */
  run(call: OpenedCall, part: number, batch: number, head: number, from: number, to: number): void;
  /**
   * Computes all tiles of the parts, stage by stage, until the job is cancelled. Six numbers for each part: the part, its
   * stage, its samples, heads and rows, and the rows of a tile. Up to so many threads of the addon's own take part, where
   * they are free.
   */
  runAll(call: OpenedCall, steps: Float64Array, helpers: number): void;
  /** Bytes between the beginning of a line of memory, of 64 bytes, and that of an array. */
  placeInLine(array: Uint8Array): number;
  /** Names of the parts, by number. */
  readonly parts: readonly string[];
}

export interface InstructionSet {
  readonly name: string;
  readonly precision: Precision;
  readonly panel: number;
  /** Neighbours along a sum that words are filled up to, the words that these take, and the rows of a packed weight. */
  readonly group: number;
  readonly groupWords: number;
  readonly groupWeightRows: number;
  /** Panels of tokens that a projection takes at a time. */
  readonly blockPanels: number;
}

export type OpenedCall = { readonly opened: unique symbol };

export const ADDON_PATH = fileURLToPath(new URL('../../../build/attention.node', import.meta.url));

/** The addon, or why there is none: not compiled on this machine, or compiled for another. */
export function loadAddon(): { readonly addon: Addon } | { readonly reason: string } {
  try {
    return { addon: createRequire(import.meta.url)(ADDON_PATH) as Addon };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return { reason: code === 'MODULE_NOT_FOUND' ? 'it has not been compiled' : (error as Error).message };
  }
}
