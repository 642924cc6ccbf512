import type { AttentionCall, Linear } from '../../domain/call.ts';
import { fitsFloat32 } from '../float32-limits.ts';
import { attentionFlops, headGrid, headsOfWeightRow, rowGrid, weightGrid } from '../grids.ts';
import { headShape, isProjected, linearOf, ROLES } from '../heads.ts';
import { inGroups } from '../in-groups.ts';
import type { Kernel } from '../kernel.ts';
import { presentParts } from '../present.ts';
import { defineKernel, type Grid, type Part, type StageProgram } from '../program.ts';
import { rotationParts } from '../rotate.ts';
import { attend, attentionRows } from './attend.ts';
import { LANES } from './geometry.ts';
import { Machine } from './machine.ts';
import { writeLogits, writeWeights } from './maps.ts';
import { availableVariants, type Variant } from './module.ts';
import { projectHeads, projectOutput, tileTokens } from './project.ts';
import { columnBlocks } from './weights.ts';

/** Rows of heads and tokens up to this width fit in the memory of a module, many of them at a time. */
const WIDEST_ROW = 2 ** 16;

/** Each group of samples copies and packs all weights, which takes as long as to project some forty rows. */
const GROUP_ROWS = 1024;

/** Rows of a tile of the work that is done outside of the module. */
const TILE_ROWS = 32;

/** float32 in WebAssembly SIMD, fastest variant first: fused attention on panels of queries, packed projections. */
export const wasmKernels: readonly Kernel[] = availableVariants().map(wasmKernel);

function wasmKernel(variant: Variant): Kernel {
  // One module for each thread, made when it is needed.
  let machine: Machine | undefined;
  const machineOf = (): Machine => {
    machine ??= new Machine(variant);
    return machine;
  };
  const kernel: Kernel = {
    ...defineKernel(`wasm-${variant}`, 'float32', stages(machineOf), { flopsPerMs: 2e7 }),
    supports: (call) => call.gradOutput === null && fitsFloat32(call) && fitsModule(call),
  };
  return inGroups(kernel, { rows: GROUP_ROWS });
}

/** Whether rows of heads and tokens fit in the memory of a module. */
function fitsModule({ sizes, query, key, value }: AttentionCall): boolean {
  return (
    Math.max(sizes.headSize, sizes.valueHeadSize, sizes.heads * sizes.valueHeadSize) <= WIDEST_ROW &&
    [query, key, value].every((source) => source.kind === 'given' || source.tokens.width <= WIDEST_ROW)
  );
}

function stages(machine: () => Machine): readonly StageProgram[] {
  const projectionGrid = (call: AttentionCall, linear: Linear, rows: number): Grid =>
    rowGrid(call, columnBlocks(linear).blocks, rows, tileTokens(rows));
  const projectionFlops = (linear: Linear) => {
    const { panels, blocks } = columnBlocks(linear);
    return (2 * linear.inWidth * LANES * panels) / blocks;
  };

  return [
    {
      name: 'heads',
      parts: ROLES.map(
        (role): Part => ({
          grid: (call) => projectionGrid(call, linearOf(call, role), headShape(call, role).rows),
          flopsPerRow: (call) => projectionFlops(linearOf(call, role)),
          applies: (call) => isProjected(call, role),
          run: projectHeads(machine, role),
        }),
      ),
    },
    { name: 'rotate', parts: rotationParts(TILE_ROWS) },
    {
      name: 'attention',
      parts: [
        {
          grid: (call) => {
            const { heads, kvHeads, queries } = call.sizes;
            return rowGrid(call, kvHeads, (heads / kvHeads) * queries, attentionRows(call));
          },
          flopsPerRow: attentionFlops,
          applies: () => true,
          run: attend(machine),
        },
      ],
    },
    {
      name: 'results',
      parts: [
        {
          grid: (call) => projectionGrid(call, call.outputProjection!, call.sizes.queries),
          flopsPerRow: (call) => projectionFlops(call.outputProjection!),
          applies: (call) => call.outputProjection !== null,
          run: projectOutput(machine),
        },
        {
          grid: (call) => weightGrid(call, attentionRows(call)),
          flopsPerRow: (call) => headsOfWeightRow(call) * attentionFlops(call),
          applies: (call) => call.returns.weights !== null,
          run: writeWeights(machine),
        },
        {
          grid: (call) => headGrid(call, 'query', attentionRows(call)),
          flopsPerRow: attentionFlops,
          applies: (call) => call.returns.logits !== null,
          run: writeLogits(machine),
        },
        ...presentParts(TILE_ROWS),
      ],
    },
  ];
}
