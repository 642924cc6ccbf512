import type { AttentionCall, HeadSource, Linear } from './call.ts';

/** The linear maps that a call may have. */
export const LINEARS = ['query', 'key', 'value', 'output'] as const;
export type LinearName = (typeof LINEARS)[number];

/** The call with each linear map that it has changed. */
export function withLinears(
  call: AttentionCall,
  change: (linear: Linear, name: LinearName) => Linear,
): AttentionCall {
  const source = (given: HeadSource, name: LinearName): HeadSource =>
    given.kind === 'projected' ? { ...given, linear: change(given.linear, name) } : given;
  return {
    ...call,
    query: source(call.query, 'query'),
    key: source(call.key, 'key'),
    value: source(call.value, 'value'),
    outputProjection: call.outputProjection && change(call.outputProjection, 'output'),
  };
}
