import type { AttentionCall, Linear } from '../../domain/call.ts';
import { headShape, isPrepared, type Role, sourceOf } from '../heads.ts';
import { presentParts } from '../present.ts';
import type { Grid, Part, StageProgram } from '../program.ts';
import { prepareHeads } from '../reference/project.ts';
import { rotateHeads } from '../rotate.ts';
import { isPacked, ownsPanels } from './buffers.ts';
import { gradientStages } from './gradients.ts';
import {
  attendsTokens,
  BLOCK_PANELS,
  hasFewQueries,
  packsKeys,
  projectionFlops,
  sampleGrid,
} from './ways.ts';

/** Panels of columns of one tile of a projection. */
const COLUMN_PANELS = 4;
/** Query panels of one attention tile. */
const ATTENTION_PANELS = 4;

const NAMES = { query: 'Query', key: 'Key', value: 'Value' } as const;
const ROLES = ['query', 'key', 'value'] as const;

const hasManyQueries = (call: AttentionCall) => !hasFewQueries(call);
/** Few queries over many keys go another way; by the names of the addon's parts. */
const WAYS = [
  ['', hasManyQueries],
  ['Few', hasFewQueries],
] as const;

/** The stages of a call, whose work is done by `part`s of the addon, for panels of so many tokens. */
export function nativeStages(
  part: (name: string) => Part['run'],
  kernel: string,
  panel: number,
): readonly StageProgram[] {
  const isProjected = (call: AttentionCall, role: Role) => sourceOf(call, role).kind === 'projected';
  const linearOf = (call: AttentionCall, role: Role): Linear => {
    const source = sourceOf(call, role);
    if (source.kind !== 'projected') throw new TypeError(`The ${role} heads are given.`);
    return source.linear;
  };
  const isGivenAndRotated = (call: AttentionCall, role: Role) =>
    isPrepared(call, role) && !isProjected(call, role);
  const columnGrid = (linear: Linear): Grid => ({
    batch: 1,
    heads: 1,
    rows: linear.headColumn.length * linear.headSize,
    tileRows: 4 * panel,
  });
  const blocksOf = ({ sizes }: AttentionCall, tokens: number) =>
    Math.ceil((sizes.batch * Math.ceil(tokens / panel)) / BLOCK_PANELS);
  /** The heads of a projection are blocks of tokens, of whatever samples; its rows are the columns of the weight. */
  const projectionGrid = (call: AttentionCall, linear: Linear, tokens: number): Grid => ({
    batch: 1,
    heads: blocksOf(call, tokens),
    rows: linear.headColumn.length * linear.headSize,
    tileRows: COLUMN_PANELS * panel,
  });
  const columnFlops = (call: AttentionCall, { inWidth }: Linear, tokens: number) =>
    (2 * inWidth * call.sizes.batch * tokens) / blocksOf(call, tokens);
  const rowGrid = ({ sizes }: AttentionCall, heads: number, rows: number, panels: number): Grid => ({
    batch: sizes.batch,
    heads,
    rows,
    tileRows: panels * panel,
  });
  const sampleFlops = (call: AttentionCall) => {
    const { batch, queries, heads, kvHeads } = call.sizes;
    const flops = projectionFlops(call) + batch * heads * queries * attentionFlops(call);
    return flops / (sampleGrid(call, panel).heads * kvHeads);
  };
  const attentionFlops = ({ sizes }: AttentionCall) =>
    2 * sizes.keys * (sizes.headSize + sizes.valueHeadSize + 10);

  return [
    {
      name: 'pack',
      parts: [
        ...ROLES.map((role) => ({
          grid: (call: AttentionCall) => rowGrid(call, 1, headShape(call, role).rows, 1),
          flopsPerRow: (call: AttentionCall) => linearOf(call, role).inWidth,
          applies: (call: AttentionCall) => ownsPanels(call, role),
          run: part(`pack${NAMES[role]}Tokens`),
        })),
        ...ROLES.map((role) => ({
          grid: (call: AttentionCall) => columnGrid(linearOf(call, role)),
          flopsPerRow: (call: AttentionCall) => linearOf(call, role).inWidth,
          applies: (call: AttentionCall) =>
            isProjected(call, role) && !isPacked(linearOf(call, role), kernel),
          run: part(`pack${NAMES[role]}Weight`),
        })),
        {
          grid: (call) => columnGrid(call.outputProjection!),
          flopsPerRow: (call) => call.outputProjection!.inWidth,
          applies: ({ outputProjection }) => outputProjection !== null && !isPacked(outputProjection, kernel),
          run: part('packOutputWeight'),
        },
      ],
    },
    {
      name: 'heads',
      parts: ROLES.flatMap((role): Part[] => [
        {
          grid: (call) => projectionGrid(call, linearOf(call, role), headShape(call, role).rows),
          flopsPerRow: (call) => columnFlops(call, linearOf(call, role), headShape(call, role).rows),
          applies: (call) => isProjected(call, role) && !attendsTokens(call, panel),
          run: part(`project${NAMES[role]}`),
        },
        {
          grid: (call) => rowGrid(call, headShape(call, role).heads, headShape(call, role).rows, 1),
          flopsPerRow: (call) => 4 * headShape(call, role).size,
          applies: (call) => isGivenAndRotated(call, role),
          run: prepareHeads(role),
        },
      ]),
    },
    {
      name: 'rotate',
      parts: (['query', 'key'] as const).map((role) => ({
        grid: (call) => rowGrid(call, headShape(call, role).heads, headShape(call, role).rows, 1),
        flopsPerRow: (call) => 8 * headShape(call, role).size,
        applies: (call) => call.rope !== null && isProjected(call, role),
        run: rotateHeads(role),
      })),
    },
    {
      name: 'keys',
      parts: [
        {
          grid: (call) => rowGrid(call, call.sizes.kvHeads, call.sizes.keys + call.sizes.extras, 4),
          flopsPerRow: ({ sizes }) => 4 * (sizes.headSize + sizes.valueHeadSize),
          applies: (call) => packsKeys(call, panel),
          run: part('packKeys'),
        },
      ],
    },
    {
      name: 'attention',
      parts: [
        {
          grid: (call) => rowGrid(call, call.sizes.heads, call.sizes.queries, ATTENTION_PANELS),
          flopsPerRow: attentionFlops,
          applies: (call) => hasManyQueries(call) && !attendsTokens(call, panel),
          run: part('attend'),
        },
        {
          grid: (call) => sampleGrid(call, panel),
          flopsPerRow: sampleFlops,
          applies: (call) => attendsTokens(call, panel),
          run: part('attendTokens'),
        },
        {
          grid: ({ sizes }) => ({
            batch: sizes.batch,
            heads: sizes.kvHeads,
            rows: sizes.queries,
            tileRows: Math.max(1, sizes.queries),
          }),
          flopsPerRow: (call) => attentionFlops(call) * (call.sizes.heads / call.sizes.kvHeads),
          applies: hasFewQueries,
          run: part('attendFew'),
        },
      ],
    },
    {
      name: 'results',
      parts: [
        {
          grid: (call) => projectionGrid(call, call.outputProjection!, call.sizes.queries),
          flopsPerRow: (call) => columnFlops(call, call.outputProjection!, call.sizes.queries),
          applies: (call) => call.outputProjection !== null,
          run: part('projectOutput'),
        },
        ...WAYS.map(([few, isOf]) => ({
          grid: (call: AttentionCall) => {
            const weights = call.returns.weights!;
            return rowGrid(
              call,
              weights.reduce === null ? weights.heads.length : 1,
              weights.queries.length,
              ATTENTION_PANELS,
            );
          },
          flopsPerRow: (call: AttentionCall) => {
            const weights = call.returns.weights!;
            return (weights.reduce === null ? 1 : weights.heads.length) * attentionFlops(call);
          },
          applies: (call: AttentionCall) => call.returns.weights !== null && isOf(call),
          run: part(`write${few}Weights`),
        })),
        ...WAYS.map(([few, isOf]) => ({
          grid: (call: AttentionCall) =>
            rowGrid(call, call.sizes.heads, call.sizes.queries, ATTENTION_PANELS),
          flopsPerRow: attentionFlops,
          applies: (call: AttentionCall) => call.returns.logits !== null && isOf(call),
          run: part(`write${few}Logits`),
        })),
        ...presentParts(panel),
      ],
    },
    ...gradientStages(part, panel),
  ];
}
