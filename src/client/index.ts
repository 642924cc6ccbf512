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
export type { LayersClient, PutLayerOptions, RegisteredLayer, WriteLayerOptions } from './layers.ts';
export type { AttentionSession } from './session.ts';
export type { SessionsClient } from './sessions.ts';
export type { CallOptions } from './transport.ts';
export type {
  AppendCall,
  AppendResult,
  AppendReturns,
  AttentionResult,
  BoolTensor,
  GradientsCall,
  GradientsResult,
  LayerAttentionCall,
  LayerDefinition,
  MultiHeadAttentionCall,
  NumberTensor,
  ResultTensor,
  Returns,
  ScaledDotProductAttentionCall,
  TopWeights,
} from './types.ts';
