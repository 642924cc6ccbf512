import { defineKernel } from '../program.ts';
import { attentionStages } from '../reference/stages.ts';
import { attend } from './attend.ts';
import { prepareHeads, projectOutput } from './project.ts';

/** float32 in and out, in TypeScript, by blocks; sums are taken in float64, which JavaScript gives for nothing. */
export const portable = defineKernel(
  'portable',
  'float32',
  attentionStages({ tileRows: 32, prepareHeads, attend, projectOutput }),
);
