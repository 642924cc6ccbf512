import type { MultiHeadAttentionBody } from '../../src/contract/schemas/compute.ts';
import type { RealArray, Tensor } from '../../src/domain/tensor.ts';
import type { MhaPlan } from './arbitraries.ts';
import type { TensorMaker } from './tensors.ts';

type Part = 'query' | 'key' | 'value';
type Fields = Pick<MultiHeadAttentionBody, 'projections' | 'layout'>;

/** W[head][k][c] and b[head][c] of one part. */
interface Dense {
  readonly heads: number;
  readonly width: number;
  readonly size: number;
  readonly weight: (head: number, k: number, c: number) => number;
  readonly bias: (head: number, c: number) => number;
}

/**
 * The projections of a plan in the layout and packing that it names. The numbers of each head are the same however
 * they are stored, as packed_order and layout are defined: `qkv` [3, H·d], `per_head` [H, 3, d],
 * `per_kv_group` [G, H/G + 2, d].
 */
export function projectionFields(plan: MhaPlan, widths: Record<Part, number>, make: TensorMaker): Fields {
  const { kvHeads, group, headSize, valueHeadSize } = plan;
  const parts: Record<Part, Dense> = {
    query: dense(make, kvHeads * group, widths.query, headSize),
    key: dense(make, kvHeads, widths.key, headSize),
    value: dense(make, kvHeads, widths.value, valueHeadSize),
  };
  const inner = kvHeads * group * valueHeadSize;
  const output = plan.outputWidth === undefined ? null : dense(make, 1, inner, plan.outputWidth);
  const blocks = plan.packed === undefined ? null : packedBlocks(plan, parts);
  const matrix = (list: readonly Block[]) => matrixOf(list, plan.layout, make);
  const row = (list: readonly Block[]) => rowOf(list, make);
  return {
    layout: plan.layout,
    projections: {
      ...(blocks === null
        ? { w_q: matrix(all(parts.query)), w_k: matrix(all(parts.key)), w_v: matrix(all(parts.value)) }
        : { w_qkv: matrix(blocks), packed_order: plan.packed! }),
      ...(plan.bias && blocks === null
        ? { b_q: row(all(parts.query)), b_k: row(all(parts.key)), b_v: row(all(parts.value)) }
        : {}),
      ...(plan.bias && blocks !== null ? { b_qkv: row(blocks) } : {}),
      ...(output === null ? {} : { w_o: matrix(all(output)) }),
      ...(output !== null && plan.bias ? { b_o: row(all(output)) } : {}),
    },
  };
}

/** The columns of one head. */
interface Block {
  readonly part: Dense;
  readonly head: number;
}

const all = (part: Dense): Block[] => Array.from({ length: part.heads }, (_, head) => ({ part, head }));

function packedBlocks(
  { packed, kvHeads, group }: MhaPlan,
  { query, key, value }: Record<Part, Dense>,
): Block[] {
  if (packed === 'qkv') return [...all(query), ...all(key), ...all(value)];
  return Array.from({ length: kvHeads }, (_, g) => [
    ...Array.from({ length: group }, (_, r) => ({ part: query, head: g * group + r })),
    { part: key, head: g },
    { part: value, head: g },
  ]).flat();
}

function dense(make: TensorMaker, heads: number, width: number, size: number): Dense {
  const weights = make.normal(heads, width, size).data;
  const biases = make.normal(heads, size).data;
  return {
    heads,
    width,
    size,
    weight: (head, k, c) => weights[(head * width + k) * size + c],
    bias: (head, c) => biases[head * size + c],
  };
}

function columnsOf(blocks: readonly Block[]) {
  return blocks.flatMap((block) => Array.from({ length: block.part.size }, (_, c) => ({ ...block, c })));
}

function matrixOf(blocks: readonly Block[], layout: MhaPlan['layout'], make: TensorMaker): Tensor<RealArray> {
  const columns = columnsOf(blocks);
  const { width } = blocks[0].part;
  const at = (k: number, column: number) => {
    const { part, head, c } = columns[column];
    return part.weight(head, k, c);
  };
  return layout === 'in_out'
    ? make.real([width, columns.length], (flat) =>
        at(Math.floor(flat / columns.length), flat % columns.length),
      )
    : make.real([columns.length, width], (flat) => at(flat % width, Math.floor(flat / width)));
}

function rowOf(blocks: readonly Block[], make: TensorMaker): Tensor<RealArray> {
  const columns = columnsOf(blocks);
  return make.real([columns.length], (flat) => columns[flat].part.bias(columns[flat].head, columns[flat].c));
}
