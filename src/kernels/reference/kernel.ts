import { defineKernel } from '../program.ts';
import { attend } from './attend.ts';
import { prepareHeads, projectOutput } from './project.ts';
import { attentionStages } from './stages.ts';

/** The oracle: float64, row by row, as the formulas are written. */
export const reference = defineKernel(
  'reference',
  'float64',
  attentionStages({ tileRows: 8, prepareHeads, attend, projectOutput }),
  { flopsPerMs: 1e6 },
);
