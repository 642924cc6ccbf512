import type { Info, Readiness } from '../contract/schemas/info.ts';
import type { Precision } from '../domain/tensor.ts';
import { LayersClient } from './layers.ts';
import { SessionsClient } from './sessions.ts';
import { type CallOptions, Transport } from './transport.ts';
import type {
  AttentionResult,
  GradientsCall,
  GradientsResult,
  LayerAttentionCall,
  MultiHeadAttentionCall,
  Returns,
  ScaledDotProductAttentionCall,
} from './types.ts';

export interface ClientOptions {
  /** Most connections at a time, 16 where not given; further calls wait for one. */
  readonly connections?: number;
  /** Headers of every request, such as `authorization`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Deadline of calls that name none, in milliseconds; without one the service's own holds. */
  readonly deadlineMs?: number;
  /** How often a call is repeated where the connection breaks or the answer is 502, 503 or a gateway's 504; 3. */
  readonly retries?: number;
  /** Longest pause before the first repetition, 100 milliseconds; it doubles with each one. */
  readonly pauseMs?: number;
}

/** What a call asks for that asks for nothing but the output. */
// biome-ignore lint/complexity/noBannedTypes: it has no members.
type Nothing = {};

/**
 * A client of the service. Tensors travel as bytes in both directions; results are typed arrays. Every call may be
 * given a signal and a deadline, throws an AttentionError where it fails (a TypeError or RangeError where it could not
 * succeed anywhere), and is repeated where that is safe and may help: computing is pure, so every call here is.
 */
export class AttentionClient {
  /** Registered layers. */
  readonly layers: LayersClient;
  /** Sequences of tokens that grow. */
  readonly sessions: SessionsClient;
  readonly #transport: Transport;

  /**
   * `baseUrl` may have a path, under which a gateway has the service.
   * @throws {TypeError} where it is no address, or a header has a name or a value that HTTP does not have.
   */
  constructor(
    baseUrl: string | URL,
    { connections = 16, headers = {}, deadlineMs, retries = 3, pauseMs = 100 }: ClientOptions = {},
  ) {
    this.#transport = new Transport(baseUrl, { connections, headers, deadlineMs, retries, pauseMs });
    this.layers = new LayersClient(this.#transport);
    this.sessions = new SessionsClient(this.#transport);
  }

  /** Attention of given queries, keys and values. */
  scaledDotProductAttention<P extends Precision = 'float32', const R extends Returns = Nothing>(
    call: ScaledDotProductAttentionCall<P, R>,
    options?: CallOptions,
  ): Promise<AttentionResult<P, R>> {
    return this.#transport.compute('/v1/scaled-dot-product-attention', call, options);
  }

  /** The gradients of scaled dot-product attention at `grad_output`, and what that gives. */
  gradients<P extends Exclude<Precision, 'bfloat16'> = 'float32', const R extends Returns = Nothing>(
    call: GradientsCall<P, R>,
    options?: CallOptions,
  ): Promise<GradientsResult<P, R>> {
    return this.#transport.compute('/v1/scaled-dot-product-attention/gradients', call, options);
  }

  /** A whole layer: projections, heads, attention, output projection. */
  multiHeadAttention<P extends Precision = 'float32', const R extends Returns = Nothing>(
    call: MultiHeadAttentionCall<P, R>,
    options?: CallOptions,
  ): Promise<AttentionResult<P, R>> {
    return this.#transport.compute('/v1/multi-head-attention', call, options);
  }

  /** The same by a registered layer. Where the call names no precision, the layer's holds. */
  layerAttention<P extends Precision = Precision, const R extends Returns = Nothing>(
    layer: string,
    call: LayerAttentionCall<P, R>,
    options?: CallOptions,
  ): Promise<AttentionResult<P, R>> {
    return this.#transport.compute(`/v1/layers/${encodeURIComponent(layer)}/attention`, call, options);
  }

  /** What the instance is, its limits, and what it is doing. */
  info(options?: CallOptions): Promise<Info> {
    const request = { method: 'GET', path: '/v1/info', repeat: 'passing' } as const;
    return this.#transport.sendForJson<Info>(request, { name: 'string', version: 'string' }, options);
  }

  /** Whether calls should be sent to the instance. */
  health(options?: CallOptions): Promise<Readiness> {
    const request = { method: 'GET', path: '/health/ready', repeat: 'passing', alsoGood: [503] } as const;
    return this.#transport.sendForJson<Readiness>(request, { status: 'string' }, options);
  }

  /** Lets the calls that are under way finish, and takes no more. May be called again. */
  close(): Promise<void> {
    return this.#transport.close();
  }
}
