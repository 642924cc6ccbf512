import type { AttentionCall, Linear } from '../../domain/call.ts';
import { attentionFlops, headGrid, headsOfWeightRow, rowGrid, weightGrid } from '../grids.ts';
import { headShape, isProjected, linearOf, ROLES, type Role } from '../heads.ts';
import { presentParts } from '../present.ts';
import type { Grid, Part, StageProgram } from '../program.ts';
import { ownsPanels } from './buffers.ts';
import { gradientStages } from './gradients.ts';
import type { Layout } from './layout.ts';
import { isOutputPacked, isSourcePacked } from './packed.ts';
import { anglesParts, rotationParts } from './rotations.ts';
import {
  attendsTokens,
  concatRows,
  hasFewQueries,
  MANY_TILES,
  makesMapsOnTheWay,
  type PanelRows,
  packsKeys,
  panelRows,
  projectionFlops,
  sampleGrid,
} from './ways.ts';

/** Panels of columns of one tile that packs a weight, and of one of a projection at the most. */
const COLUMN_PANELS = 4;
/** Operations of a projection below which a tile is not worth an end of its own: two microseconds. */
const SHORTEST_TILE_FLOPS = 5e5;
/** Panels of keys of one tile that packs them. */
const KEY_PANELS = 4;
/** Query panels of one attention tile. */
const ATTENTION_PANELS = 4;

/** Rows of queries of one key/value head, all of some heads, that a tile takes through the keys that it reads in place. */
const FEW_ROWS = 16;

/**
 * Where few rows meet each number that is read, reading takes longer than arithmetic: about as long as so many operations
 * for each number.
 */
const READING_FLOPS = 16;

const NAMES = { query: 'Query', key: 'Key', value: 'Value' } as const;

const hasManyQueries = (call: AttentionCall, layout: Layout) => !hasFewQueries(call, layout);
/** Few queries over many keys go another way; by the names of the addon's parts. */
const WAYS = [
  ['', hasManyQueries],
  ['Few', hasFewQueries],
] as const;

/** A part that the addon computes. */
type PartNamed = (name: string) => Part['run'];

/** The stages of a call, whose work is done by `part`s of the addon. */
export function nativeStages(part: PartNamed, layout: Layout): readonly StageProgram[] {
  const { panel } = layout;
  return [
    packStage(part, layout),
    headsStage(part, layout),
    { name: 'rotate', parts: rotationParts(part, panel) },
    keysStage(part, layout),
    attentionStage(part, layout),
    resultsStage(part, layout),
    ...gradientStages(part, panel),
  ];
}

/** Tokens and weights to panels. Angles come first: all that follows is the addon's, in one go. */
function packStage(part: PartNamed, layout: Layout): StageProgram {
  const { panel } = layout;
  const tokens = ROLES.map(
    (role): Part => ({
      grid: (call) => {
        const { samples, rows } = panelRows(call, headShape(call, role).rows, layout);
        return { batch: samples, heads: 1, rows, tileRows: panel };
      },
      flopsPerRow: (call) => linearOf(call, role).inWidth,
      applies: (call) => ownsPanels(call, role),
      run: part(`pack${NAMES[role]}Tokens`),
    }),
  );
  const weights = ROLES.map(
    (role): Part => ({
      grid: (call) => columnGrid(linearOf(call, role), 1, panel),
      flopsPerRow: (call) => linearOf(call, role).inWidth,
      applies: (call) => isProjected(call, role) && !isSourcePacked({ linear: linearOf(call, role) }, layout),
      run: part(`pack${NAMES[role]}Weight`),
    }),
  );
  const outputWeight: Part = {
    grid: (call) => columnGrid(call.outputProjection!, 1, panel),
    flopsPerRow: (call) => call.outputProjection!.inWidth,
    applies: (call) => call.outputProjection !== null && !isOutputPacked(call, layout),
    run: part('packOutputWeight'),
  };
  return { name: 'pack', parts: [...anglesParts(panel), ...tokens, ...weights, outputWeight] };
}

/** Projections to the rows or panels of heads. */
function headsStage(part: PartNamed, layout: Layout): StageProgram {
  const rowsOf = (call: AttentionCall, role: Role) => panelRows(call, headShape(call, role).rows, layout);
  const parts = ROLES.map(
    (role): Part => ({
      grid: (call) => projectionGrid(linearOf(call, role), rowsOf(call, role), layout),
      flopsPerRow: (call) => columnFlops(linearOf(call, role), rowsOf(call, role), layout),
      applies: (call) => isProjected(call, role) && !attendsTokens(call, layout),
      run: part(`project${NAMES[role]}`),
    }),
  );
  return { name: 'heads', parts };
}

/** Keys to panels, and values beside them. */
function keysStage(part: PartNamed, layout: Layout): StageProgram {
  const { panel } = layout;
  const keys: Part = {
    grid: (call) =>
      rowGrid(call, call.sizes.kvHeads, call.sizes.keys + call.sizes.extras, KEY_PANELS * panel),
    flopsPerRow: ({ sizes }) => 4 * (sizes.headSize + sizes.valueHeadSize),
    applies: (call) => packsKeys(call, layout),
    run: part('packKeys'),
  };
  return { name: 'keys', parts: [keys] };
}

function attentionStage(part: PartNamed, layout: Layout): StageProgram {
  const { panel } = layout;
  const ofHeads: Part = {
    grid: (call) => headGrid(call, 'query', ATTENTION_PANELS * panel),
    flopsPerRow: attentionFlops,
    applies: (call) => hasManyQueries(call, layout) && !attendsTokens(call, layout),
    run: part('attend'),
  };
  const ofTokens: Part = {
    grid: (call) => sampleGrid(call, layout),
    flopsPerRow: (call) => {
      const { batch, queries, heads, kvHeads } = call.sizes;
      const flops = projectionFlops(call) + batch * heads * queries * attentionFlops(call);
      return flops / (sampleGrid(call, layout).heads * kvHeads);
    },
    applies: (call) => attendsTokens(call, layout),
    run: part('attendTokens'),
  };
  const ofFewQueries: Part = {
    grid: ({ sizes: { batch, heads, kvHeads, queries } }) => {
      const tileRows = Math.max(1, Math.floor(FEW_ROWS / queries)) * queries;
      return { batch, heads: kvHeads, rows: (heads / kvHeads) * queries, tileRows };
    },
    flopsPerRow: (call) => {
      const { heads, kvHeads, queries, keys, headSize, valueHeadSize } = call.sizes;
      const rowsOfTile = Math.min(FEW_ROWS, (heads / kvHeads) * queries);
      return Math.max(attentionFlops(call), (READING_FLOPS * keys * (headSize + valueHeadSize)) / rowsOfTile);
    },
    applies: (call) => hasFewQueries(call, layout),
    run: part('attendFew'),
  };
  return { name: 'attention', parts: [ofHeads, ofTokens, ofFewQueries] };
}

/** The output projection, and what is returned besides the output. */
function resultsStage(part: PartNamed, layout: Layout): StageProgram {
  const { panel } = layout;
  const output: Part = {
    grid: (call) => projectionGrid(call.outputProjection!, concatRows(call, layout), layout),
    flopsPerRow: (call) => columnFlops(call.outputProjection!, concatRows(call, layout), layout),
    applies: (call) => call.outputProjection !== null,
    run: part('projectOutput'),
  };
  const weights = WAYS.map(
    ([few, isOf]): Part => ({
      grid: (call) => weightGrid(call, ATTENTION_PANELS * panel),
      flopsPerRow: (call) => headsOfWeightRow(call) * attentionFlops(call),
      applies: (call) => call.returns.weights !== null && isOf(call, layout) && !makesMapsOnTheWay(call),
      run: part(`write${few}Weights`),
    }),
  );
  const logits = WAYS.map(
    ([few, isOf]): Part => ({
      grid: (call) => headGrid(call, 'query', ATTENTION_PANELS * panel),
      flopsPerRow: attentionFlops,
      applies: (call) => call.returns.logits !== null && isOf(call, layout),
      run: part(`write${few}Logits`),
    }),
  );
  return { name: 'results', parts: [output, ...weights, ...logits, ...presentParts(panel)] };
}

/** The columns of a weight, once for each of so many blocks of tokens, which stand in place of heads. */
function columnGrid({ headColumn, headSize }: Linear, blocks: number, panel: number): Grid {
  return { batch: 1, heads: blocks, rows: headColumn.length * headSize, tileRows: COLUMN_PANELS * panel };
}

/**
 * A projection takes blocks of tokens, of whatever samples, through the columns of its weight. Where blocks are few, tiles
 * are narrower: of three that two cores share, one core would wait for the last. One token reads whole tiles at a time.
 */
function projectionGrid(linear: Linear, tokens: PanelRows, layout: Layout): Grid {
  const { panel } = layout;
  const grid = columnGrid(linear, tokenBlocks(tokens, layout), panel);
  if (tokens.samples * tokens.rows === 1) return grid;
  const evenly = Math.floor((grid.heads * Math.ceil(grid.rows / panel)) / MANY_TILES);
  const atLeast = Math.ceil(SHORTEST_TILE_FLOPS / (panel * columnFlops(linear, tokens, layout)));
  const panels = Math.min(COLUMN_PANELS, Math.max(1, evenly, atLeast));
  return { ...grid, tileRows: panels * panel };
}

/** Operations of one column with one block of tokens. */
function columnFlops({ inWidth }: Linear, tokens: PanelRows, layout: Layout): number {
  const flops = Math.max(2 * tokens.samples * tokens.rows, READING_FLOPS);
  return (inWidth * flops) / tokenBlocks(tokens, layout);
}

function tokenBlocks({ samples, rows }: PanelRows, { panel, blockPanels }: Layout): number {
  return Math.ceil((samples * Math.ceil(rows / panel)) / blockPanels);
}
