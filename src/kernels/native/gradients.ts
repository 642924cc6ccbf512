import type { AttentionCall } from '../../domain/call.ts';
import { headShape } from '../heads.ts';
import type { Grid, Part, StageProgram } from '../program.ts';
import { rotateGradientsBack } from './rotate.ts';

/** Query panels of one tile of ∂loss/∂query. */
const QUERY_PANELS = 2;
/** Keys of one tile of ∂loss/∂key and ∂loss/∂value: a block of addon/query_panel.h. */
const KEY_BLOCK = 128;

/**
 * The stages that follow attention where gradients are asked for; addon/gradients.h. What a tile sums up is its own, so
 * the sums have one order whatever the number of workers.
 */
export function gradientStages(part: (name: string) => Part['run'], panel: number): readonly StageProgram[] {
  const applies = (call: AttentionCall) => call.gradOutput !== null;
  const queryGrid = ({ sizes }: AttentionCall): Grid => ({
    batch: sizes.batch,
    heads: sizes.heads,
    rows: sizes.queries,
    tileRows: QUERY_PANELS * panel,
  });
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
      parts: [
        {
          grid: queryGrid,
          flopsPerRow: ({ sizes }) => sizes.keys * (4 * sizes.headSize + 2 * sizes.valueHeadSize + 20),
          applies,
          run: part('gradQuery'),
        },
        {
          grid: ({ sizes }) => ({
            batch: sizes.batch,
            heads: sizes.kvHeads,
            rows: sizes.keys,
            tileRows: KEY_BLOCK,
          }),
          flopsPerRow: ({ sizes }) =>
            (sizes.heads / sizes.kvHeads) *
            sizes.queries *
            (4 * sizes.headSize + 4 * sizes.valueHeadSize + 20),
          applies,
          run: part('gradKeyValue'),
        },
      ],
    },
    {
      name: 'rotate_back',
      parts: (['query', 'key'] as const).map((role) => ({
        grid: (call) => ({ batch: call.sizes.batch, ...headShape(call, role), tileRows: panel }),
        flopsPerRow: (call) => 8 * headShape(call, role).size,
        applies: (call) => call.rope !== null && applies(call),
        run: rotateGradientsBack(role),
      })),
    },
  ];
}
