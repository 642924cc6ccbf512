import type { AttentionCall, Linear } from '../../domain/call.ts';
import { attentionFlops, headGrid, headsOfWeightRow, rowGrid, weightGrid } from '../grids.ts';
import { headShape, isGivenAndRotated, isProjected, linearOf, ROLES } from '../heads.ts';
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

/** Panels of columns of one tile that packs a weight, and of one of a projection. */
const COLUMN_PANELS = 4;
/** Panels of keys of one tile that packs them. */
const KEY_PANELS = 4;
/** Query panels of one attention tile. */
const ATTENTION_PANELS = 4;

const NAMES = { query: 'Query', key: 'Key', value: 'Value' } as const;

const hasManyQueries = (call: AttentionCall) => !hasFewQueries(call);
/** Few queries over many keys go another way; by the names of the addon's parts. */
const WAYS = [
  ['', hasManyQueries],
  ['Few', hasFewQueries],
] as const;

/** A part that the addon computes. */
type PartNamed = (name: string) => Part['run'];

/** The stages of a call, whose work is done by `part`s of the addon, for panels of so many tokens. */
export function nativeStages(part: PartNamed, kernel: string, panel: number): readonly StageProgram[] {
  return [
    packStage(part, kernel, panel),
    headsStage(part, panel),
    rotateStage(panel),
    keysStage(part, panel),
    attentionStage(part, panel),
    resultsStage(part, panel),
    ...gradientStages(part, panel),
  ];
}

/** Tokens and weights to panels. */
function packStage(part: PartNamed, kernel: string, panel: number): StageProgram {
  const tokens = ROLES.map(
    (role): Part => ({
      grid: (call) => rowGrid(call, 1, headShape(call, role).rows, panel),
      flopsPerRow: (call) => linearOf(call, role).inWidth,
      applies: (call) => ownsPanels(call, role),
      run: part(`pack${NAMES[role]}Tokens`),
    }),
  );
  const weights = ROLES.map(
    (role): Part => ({
      grid: (call) => columnGrid(linearOf(call, role), 1, panel),
      flopsPerRow: (call) => linearOf(call, role).inWidth,
      applies: (call) => isProjected(call, role) && !isPacked(linearOf(call, role), kernel),
      run: part(`pack${NAMES[role]}Weight`),
    }),
  );
  const outputWeight: Part = {
    grid: (call) => columnGrid(call.outputProjection!, 1, panel),
    flopsPerRow: (call) => call.outputProjection!.inWidth,
    applies: ({ outputProjection }) => outputProjection !== null && !isPacked(outputProjection, kernel),
    run: part('packOutputWeight'),
  };
  return { name: 'pack', parts: [...tokens, ...weights, outputWeight] };
}

/** Projections to the rows or panels of heads, and copies of given heads that are to be rotated. */
function headsStage(part: PartNamed, panel: number): StageProgram {
  return {
    name: 'heads',
    parts: ROLES.flatMap((role): Part[] => [
      {
        grid: (call) => projectionGrid(call, linearOf(call, role), headShape(call, role).rows, panel),
        flopsPerRow: (call) => columnFlops(call, linearOf(call, role), headShape(call, role).rows, panel),
        applies: (call) => isProjected(call, role) && !attendsTokens(call, panel),
        run: part(`project${NAMES[role]}`),
      },
      {
        grid: (call) => headGrid(call, role, panel),
        flopsPerRow: (call) => 4 * headShape(call, role).size,
        applies: (call) => isGivenAndRotated(call, role),
        run: prepareHeads(role),
      },
    ]),
  };
}

function rotateStage(panel: number): StageProgram {
  return {
    name: 'rotate',
    parts: (['query', 'key'] as const).map((role) => ({
      grid: (call) => headGrid(call, role, panel),
      flopsPerRow: (call) => 8 * headShape(call, role).size,
      applies: (call) => call.rope !== null && isProjected(call, role),
      run: rotateHeads(role),
    })),
  };
}

/** Keys to panels, and values beside them. */
function keysStage(part: PartNamed, panel: number): StageProgram {
  const keys: Part = {
    grid: (call) =>
      rowGrid(call, call.sizes.kvHeads, call.sizes.keys + call.sizes.extras, KEY_PANELS * panel),
    flopsPerRow: ({ sizes }) => 4 * (sizes.headSize + sizes.valueHeadSize),
    applies: (call) => packsKeys(call, panel),
    run: part('packKeys'),
  };
  return { name: 'keys', parts: [keys] };
}

function attentionStage(part: PartNamed, panel: number): StageProgram {
  const ofHeads: Part = {
    grid: (call) => headGrid(call, 'query', ATTENTION_PANELS * panel),
    flopsPerRow: attentionFlops,
    applies: (call) => hasManyQueries(call) && !attendsTokens(call, panel),
    run: part('attend'),
  };
  const ofTokens: Part = {
    grid: (call) => sampleGrid(call, panel),
    flopsPerRow: (call) => {
      const { batch, queries, heads, kvHeads } = call.sizes;
      const flops = projectionFlops(call) + batch * heads * queries * attentionFlops(call);
      return flops / (sampleGrid(call, panel).heads * kvHeads);
    },
    applies: (call) => attendsTokens(call, panel),
    run: part('attendTokens'),
  };
  const ofFewQueries: Part = {
    grid: (call) => rowGrid(call, call.sizes.kvHeads, call.sizes.queries, Math.max(1, call.sizes.queries)),
    flopsPerRow: (call) => attentionFlops(call) * (call.sizes.heads / call.sizes.kvHeads),
    applies: hasFewQueries,
    run: part('attendFew'),
  };
  return { name: 'attention', parts: [ofHeads, ofTokens, ofFewQueries] };
}

/** The output projection, and what is returned besides the output. */
function resultsStage(part: PartNamed, panel: number): StageProgram {
  const output: Part = {
    grid: (call) => projectionGrid(call, call.outputProjection!, call.sizes.queries, panel),
    flopsPerRow: (call) => columnFlops(call, call.outputProjection!, call.sizes.queries, panel),
    applies: (call) => call.outputProjection !== null,
    run: part('projectOutput'),
  };
  const weights = WAYS.map(
    ([few, isOf]): Part => ({
      grid: (call) => weightGrid(call, ATTENTION_PANELS * panel),
      flopsPerRow: (call) => headsOfWeightRow(call) * attentionFlops(call),
      applies: (call) => call.returns.weights !== null && isOf(call),
      run: part(`write${few}Weights`),
    }),
  );
  const logits = WAYS.map(
    ([few, isOf]): Part => ({
      grid: (call) => headGrid(call, 'query', ATTENTION_PANELS * panel),
      flopsPerRow: attentionFlops,
      applies: (call) => call.returns.logits !== null && isOf(call),
      run: part(`write${few}Logits`),
    }),
  );
  return { name: 'results', parts: [output, ...weights, ...logits, ...presentParts(panel)] };
}

/** The columns of a weight, once for each of so many blocks of tokens, which stand in place of heads. */
function columnGrid({ headColumn, headSize }: Linear, blocks: number, panel: number): Grid {
  return { batch: 1, heads: blocks, rows: headColumn.length * headSize, tileRows: COLUMN_PANELS * panel };
}

/** A projection takes blocks of tokens, of whatever samples, through the columns of its weight. */
function projectionGrid(call: AttentionCall, linear: Linear, tokens: number, panel: number): Grid {
  return columnGrid(linear, tokenBlocks(call, tokens, panel), panel);
}

/** Operations of one column with one block of tokens. */
function columnFlops(call: AttentionCall, { inWidth }: Linear, tokens: number, panel: number): number {
  return (2 * inWidth * call.sizes.batch * tokens) / tokenBlocks(call, tokens, panel);
}

function tokenBlocks({ sizes }: AttentionCall, tokens: number, panel: number): number {
  return Math.ceil((sizes.batch * Math.ceil(tokens / panel)) / BLOCK_PANELS);
}
