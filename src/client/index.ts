/** A typed client of the service, for other services: what is exported here is meant to stay. */
export { AttentionClient, type ClientOptions } from './client.ts';
export {
  AttentionAbortError,
  AttentionApiError,
  AttentionConnectionError,
  AttentionDeadlineError,
  AttentionError,
  AttentionResponseError,
} from './errors.ts';
export type { CallOptions } from './transport.ts';
export type {
  AttentionResult,
  BoolTensor,
  GradientsCall,
  GradientsResult,
  LayerAttentionCall,
  MultiHeadAttentionCall,
  NumberTensor,
  ResultTensor,
  Returns,
  ScaledDotProductAttentionCall,
  TopWeights,
} from './types.ts';
