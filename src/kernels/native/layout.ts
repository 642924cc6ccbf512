import type { InstructionSet } from './addon.ts';

/** How a native kernel keeps what it multiplies: in panels, of words that hold one number, two, or parts of some. */
export interface Layout {
  /** Tokens, or columns, of a panel. */
  readonly panel: number;
  /** Panels of tokens that a projection takes at a time. */
  readonly blockPanels: number;
  /** Whether a word is a number in float32 as it is, so that products can read where the caller's tensors lie. */
  readonly isPlain: boolean;
  /** Whether a number is split into several, which their words hold. */
  readonly splitsNumbers: boolean;
  /** Words that so many neighbours along a sum take, filled up with zeros to whole groups; addon/operands.h. */
  words(neighbours: number): number;
  /** Rows of a packed weight with so many numbers to a column. */
  weightRows(numbers: number): number;
  /** The form that such a weight is packed in: kernels that leave its numbers as they are have it in common. */
  weightForm(numbers: number): string;
}

export function layoutOf(set: InstructionSet): Layout {
  const { panel, blockPanels, group, groupWords, groupWeightRows } = set;
  const groups = (numbers: number) => Math.ceil(numbers / group);
  const weightRows = (numbers: number) => groups(numbers) * groupWeightRows;
  return {
    panel,
    blockPanels,
    isPlain: group === 1,
    splitsNumbers: groupWords > group,
    words: (neighbours) => groups(neighbours) * groupWords,
    weightRows,
    weightForm: (numbers) => {
      const areAsTheyAre = set.precision === 'float32' && weightRows(numbers) === numbers;
      return areAsTheyAre ? `float32-panels-${panel}` : set.name;
    },
  };
}
