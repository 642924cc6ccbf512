/** What one request, and all requests together, may use. Units stand at the end of each name. */
export interface Limits {
  /** Largest request body, before and after decompression. */
  readonly bodyBytes: number;
  /** What of a body is not tensor data: the rest of the JSON, or the header of a safetensors file that is no layer's. */
  readonly envelopeBytes: number;
  /** Deepest nesting of a JSON body. */
  readonly jsonDepth: number;
  /** Attention maps and logits in one response. */
  readonly mapBytes: number;
  /** Everything that one request allocates besides its body: workspace, results, maps. */
  readonly requestBytes: number;
  /** Arithmetic of one request. */
  readonly requestFlops: number;
  /** Requests admitted at a time, running ones included. */
  readonly queueRequests: number;
  /** Bytes of all admitted requests together. */
  readonly queueBytes: number;
  /** Waiting calls of one layer that a worker computes at one go; 1 where each is to be computed alone. */
  readonly batchCalls: number;
  /** Weights of registered layers that are kept in memory. */
  readonly layerBytes: number;
  /** Keys and values of sessions. */
  readonly sessionBytes: number;
  /** Tokens of one session. */
  readonly sessionTokens: number;
  /** How long a session is kept to which nothing is appended. */
  readonly sessionIdleMs: number;
  /** Longest deadline, and the deadline of a request that names none. */
  readonly deadlineMs: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: Limits = {
  bodyBytes: 64 * MIB,
  envelopeBytes: MIB / 4,
  jsonDepth: 32,
  mapBytes: 256 * MIB,
  requestBytes: 1024 * MIB,
  requestFlops: 1e12,
  queueRequests: 256,
  queueBytes: 2048 * MIB,
  batchCalls: 32,
  layerBytes: 512 * MIB,
  sessionBytes: 512 * MIB,
  sessionTokens: 131_072,
  sessionIdleMs: 600_000,
  deadlineMs: 60_000,
};
