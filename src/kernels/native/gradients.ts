import type { AttentionCall } from '../../domain/call.ts';
import { headGrid, rowGrid } from '../grids.ts';
import { headShape } from '../heads.ts';
import type { Part, StageProgram } from '../program.ts';
import { rotateGradientsBack } from '../rotate.ts';
import { GRADIENT_BLOCK, gradientPartials } from './buffers.ts';

/** Query panels of one tile. */
const QUERY_PANELS = 2;

/**
 * The stages that follow attention where gradients are asked for; addon/gradients.h. A tile takes one block of keys: its
 * sums for grad_key and grad_value are whole, those for grad_query are partial. Blocks that add to the same partial sum
 * take turns, in rounds, so that every sum has one order whatever the number of workers.
 */
export function gradientStages(part: (name: string) => Part['run'], panel: number): readonly StageProgram[] {
  const applies = (call: AttentionCall) => call.gradOutput !== null;
  const queryGrid = (call: AttentionCall) => headGrid(call, 'query', QUERY_PANELS * panel);
  const allKeys = ({ sizes }: AttentionCall) => sizes.keys + sizes.extras;
  /** A block for each partial sum. */
  const keysPerRound = (call: AttentionCall) =>
    Math.min(gradientPartials(call) * GRADIENT_BLOCK, allKeys(call));
  const gradKeyValue = part('gradKeyValue');
  return [
    {
      name: 'pack_gradients',
      parts: [
        {
          grid: queryGrid,
          flopsPerRow: ({ sizes }) => 6 * (sizes.headSize + sizes.valueHeadSize),
          applies,
          run: part('packGradients'),
        },
      ],
    },
    {
      name: 'gradients',
      rounds: (call) => Math.ceil(allKeys(call) / keysPerRound(call)),
      parts: [
        {
          grid: (call) => rowGrid(call, call.sizes.kvHeads, keysPerRound(call), GRADIENT_BLOCK),
          flopsPerRow: ({ sizes }) =>
            (sizes.heads / sizes.kvHeads) *
            sizes.queries *
            (6 * sizes.headSize + 4 * sizes.valueHeadSize + 20),
          applies,
          run: (job, batch, kvHead, from, _to, round) => {
            const key = round * keysPerRound(job.call) + from;
            const end = Math.min(key + GRADIENT_BLOCK, allKeys(job.call));
            if (key < end) gradKeyValue(job, batch, kvHead, key, end, round);
          },
        },
      ],
    },
    {
      name: 'grad_query',
      parts: [
        {
          grid: queryGrid,
          flopsPerRow: (call) => 2 * gradientPartials(call) * call.sizes.headSize,
          applies,
          run: part('gradQuery'),
        },
      ],
    },
    {
      name: 'rotate_back',
      parts: (['query', 'key'] as const).map((role) => ({
        grid: (call) => headGrid(call, role, panel),
        flopsPerRow: (call) => 8 * headShape(call, role).size,
        applies: (call) => call.rope !== null && applies(call),
        run: rotateGradientsBack(role),
      })),
    },
  ];
}
