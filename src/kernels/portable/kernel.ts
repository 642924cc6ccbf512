import type { AttentionCall } from '../../domain/call.ts';
import type { Kernel } from '../kernel.ts';
import { defineKernel } from '../program.ts';
import { attentionStages } from '../reference/stages.ts';
import { attend } from './attend.ts';
import { prepareHeads, projectOutput } from './project.ts';
import { planRoundedBuffers, roundedOperands, roundStage } from './rounded.ts';

const SPEED = { flopsPerMs: 2e6 };
const TILE_ROWS = 32;
const work = { tileRows: TILE_ROWS, prepareHeads, attend, projectOutput };

/** float32 in and out, in TypeScript, by blocks; sums are taken in float64, which costs nothing in JavaScript. */
export const portable = defineKernel('portable', 'float32', attentionStages(work), SPEED);

const [heads, ...others] = attentionStages({ ...work, operandsOf: roundedOperands });

/** The same with the operands of products rounded to bfloat16. Gradients are not offered in bfloat16. */
export const portableBfloat16: Kernel = {
  ...defineKernel('portable-bfloat16', 'bfloat16', [heads, roundStage(TILE_ROWS), ...others], {
    ...SPEED,
    buffersOf: planRoundedBuffers,
  }),
  supports: ({ gradOutput }: AttentionCall) => gradOutput === null,
};
