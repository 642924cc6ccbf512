import type { AttentionCall, Linear } from '../../domain/call.ts';
import { withLinears } from '../../domain/linears.ts';
import type { RealArray } from '../../domain/tensor.ts';
import type { Memory } from '../kernel.ts';
import type { Layout } from './layout.ts';

/** The call with each weight as `memory`, of a job of a kernel of this layout, holds it packed. */
export function keepPacked(call: AttentionCall, memory: Memory, { weightForm }: Layout): AttentionCall {
  return withLinears(call, (linear, name) => {
    const data = memory[`packed.${name}`] as RealArray | undefined;
    if (data === undefined) return linear;
    // Every head of W_O begins with a group of its own.
    const groupWidth = name === 'output' ? call.sizes.valueHeadSize : linear.inWidth;
    return { ...linear, packed: { form: weightForm(groupWidth), data } };
  });
}

/** Whether the weight of a source comes packed in the form of this layout. */
export function isSourcePacked({ linear }: { readonly linear: Linear }, { weightForm }: Layout): boolean {
  return linear.packed?.form === weightForm(linear.inWidth);
}

/** The same of the output projection, whose columns begin anew with every head. */
export function isOutputPacked({ outputProjection, sizes }: AttentionCall, { weightForm }: Layout): boolean {
  return outputProjection?.packed?.form === weightForm(sizes.valueHeadSize);
}
