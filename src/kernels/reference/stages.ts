import type { AttentionCall } from '../../domain/call.ts';
import { headGrid, headsOfWeightRow, rowGrid, weightGrid } from '../grids.ts';
import { headShape, isPrepared, ROLES, type Role } from '../heads.ts';
import { presentParts } from '../present.ts';
import type { Part, StageProgram } from '../program.ts';
import { gradKeyValue, gradQuery } from './gradients.ts';
import { mapWriters, type OperandsOf } from './maps.ts';

/** The work that a kernel does its own way; the rest of the way is the same for all. */
export interface RowWork {
  /** Rows in a tile. */
  readonly tileRows: number;
  readonly prepareHeads: (role: Role) => Part['run'];
  readonly attend: Part['run'];
  readonly projectOutput: Part['run'];
  /** What maps and logits multiply; the heads where not given. */
  readonly operandsOf?: OperandsOf;
}

/**
 * The way of a call, as stages: heads, attention, then whatever is returned, made from the attention's statistics
 * and never the other way round, so that the output is the same to the bit whatever is asked for.
 */
export function attentionStages(work: RowWork): readonly StageProgram[] {
  const { tileRows } = work;
  const write = mapWriters(work.operandsOf);
  const queryGrid = (call: AttentionCall) => headGrid(call, 'query', tileRows);
  const always = () => true;
  const withGradients = (call: AttentionCall) => call.gradOutput !== null;

  return [
    {
      name: 'heads',
      parts: ROLES.map((role) => ({
        grid: (call) => headGrid(call, role, tileRows),
        flopsPerRow: (call) => preparationFlops(call, role),
        applies: (call) => isPrepared(call, role),
        run: work.prepareHeads(role),
      })),
    },
    {
      name: 'attention',
      parts: [{ grid: queryGrid, flopsPerRow: attentionFlops, applies: always, run: work.attend }],
    },
    {
      name: 'results',
      parts: [
        {
          grid: (call) => rowGrid(call, 1, call.sizes.queries, tileRows),
          flopsPerRow: ({ outputProjection: linear }) => 2 * linear!.inWidth * linear!.headSize,
          applies: (call) => call.outputProjection !== null,
          run: work.projectOutput,
        },
        {
          grid: (call) => weightGrid(call, tileRows),
          flopsPerRow: (call) => headsOfWeightRow(call) * logitFlops(call.sizes),
          applies: (call) => call.returns.weights !== null,
          run: write.weights,
        },
        {
          grid: queryGrid,
          flopsPerRow: ({ sizes }) => logitFlops(sizes),
          applies: (call) => call.returns.logits !== null,
          run: write.logits,
        },
        ...presentParts(tileRows),
      ],
    },
    {
      name: 'grad_query',
      parts: [{ grid: queryGrid, flopsPerRow: gradientFlops, applies: withGradients, run: gradQuery }],
    },
    {
      name: 'grad_key_value',
      parts: [
        {
          grid: (call) => headGrid(call, 'key', tileRows),
          flopsPerRow: ({ sizes }) =>
            (sizes.heads / sizes.kvHeads) * sizes.queries * 4 * (sizes.headSize + sizes.valueHeadSize),
          applies: withGradients,
          run: gradKeyValue,
        },
      ],
    },
  ];
}

/** An exponential costs about this many multiplications and additions. */
const EXP_FLOPS = 20;

function logitFlops({ keys, headSize }: AttentionCall['sizes']): number {
  return keys * (2 * headSize + EXP_FLOPS);
}

/** An upper bound: keys that are out of a query's range cost less. */
function attentionFlops({ sizes }: AttentionCall): number {
  return logitFlops(sizes) + 2 * sizes.keys * sizes.valueHeadSize;
}

function gradientFlops({ sizes }: AttentionCall): number {
  return sizes.keys * (4 * sizes.headSize + 4 * sizes.valueHeadSize + EXP_FLOPS);
}

function preparationFlops(call: AttentionCall, role: Role): number {
  const source = call[role];
  const { size } = headShape(call, role);
  return source.kind === 'projected' ? 2 * source.linear.inWidth * size : 4 * size;
}
