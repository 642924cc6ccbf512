import type { AttentionCall, HeadSource, Linear } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import type { Memory } from '../kernel.ts';
import type { Layout } from './layout.ts';

/** The call with each weight as `memory`, of a job of a kernel of this layout, holds it packed. */
export function keepPacked(call: AttentionCall, memory: Memory, { weightForm }: Layout): AttentionCall {
  const kept = (linear: Linear, name: string, groupWidth: number): Linear => {
    const data = memory[`packed.${name}`] as RealArray | undefined;
    return data === undefined ? linear : { ...linear, packed: { form: weightForm(groupWidth), data } };
  };
  const source = (given: HeadSource, name: string): HeadSource =>
    given.kind === 'projected' ? { ...given, linear: kept(given.linear, name, given.linear.inWidth) } : given;
  return {
    ...call,
    query: source(call.query, 'query'),
    key: source(call.key, 'key'),
    value: source(call.value, 'value'),
    outputProjection:
      call.outputProjection && kept(call.outputProjection, 'output', call.sizes.valueHeadSize),
  };
}

/** Whether the weight of a source comes packed in the form of this layout. */
export function isSourcePacked({ linear }: { readonly linear: Linear }, { weightForm }: Layout): boolean {
  return linear.packed?.form === weightForm(linear.inWidth);
}

/** The same of the output projection, whose columns begin anew with every head. */
export function isOutputPacked({ outputProjection, sizes }: AttentionCall, { weightForm }: Layout): boolean {
  return outputProjection?.packed?.form === weightForm(sizes.valueHeadSize);
}
