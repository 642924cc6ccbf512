import type { AttentionCall, HeadSource, Linear } from '../../domain/call.ts';
import type { RealArray } from '../../domain/tensor.ts';
import type { Memory } from '../kernel.ts';

/** The call with each weight as `memory`, of a job of this kernel, holds it packed. */
export function keepPacked(call: AttentionCall, memory: Memory, kernel: string): AttentionCall {
  const kept = (linear: Linear, name: string): Linear => {
    const data = memory[`packed.${name}`];
    return data === undefined ? linear : { ...linear, packed: { kernel, data: data as RealArray } };
  };
  const source = (given: HeadSource, name: string): HeadSource =>
    given.kind === 'projected' ? { ...given, linear: kept(given.linear, name) } : given;
  return {
    ...call,
    query: source(call.query, 'query'),
    key: source(call.key, 'key'),
    value: source(call.value, 'value'),
    outputProjection: call.outputProjection && kept(call.outputProjection, 'output'),
  };
}
