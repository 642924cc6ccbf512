import type { SessionDescription } from '../contract/schemas/sessions.ts';
import { AttentionResponseError } from './errors.ts';
import { JSON_TYPE } from './media-types.ts';
import type { Marks } from './read-json.ts';
import type { CallOptions, Transport } from './transport.ts';
import type { AppendCall, AppendResult, AppendReturns, NumberTensor } from './types.ts';

/** What the description of a session is known by. */
export const SESSION: Marks<SessionDescription> = { session_id: 'string', position: 'number' };

// biome-ignore lint/complexity/noBannedTypes: it has no members.
type Nothing = {};

/**
 * A session, and where it stands. Every append says at which position it is to go, so that it may be sent again: by this
 * client where a connection breaks, and by the caller who has got no answer, with the same tokens. Appends go one after
 * the other, in the order of the calls; each goes behind those before it or, where one of them was not applied, is an
 * AttentionApiError, `position_conflict`.
 */
export class AttentionSession {
  readonly id: string;
  readonly layer: string;
  /** Content of the layer that the session is for. */
  readonly etag: string;
  readonly precision: SessionDescription['precision'];
  readonly maxLength: number;
  readonly #transport: Transport;
  readonly #path: string;
  #position: number;
  /** Where the next append goes if all that are on their way are applied. */
  #next: number;
  #pending = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(transport: Transport, description: SessionDescription) {
    const { session_id, layer, etag, precision, max_length, position } = description;
    this.id = session_id;
    this.layer = layer;
    this.etag = etag;
    this.precision = precision;
    this.maxLength = max_length;
    this.#transport = transport;
    this.#path = `/v1/sessions/${encodeURIComponent(session_id)}`;
    this.#position = position;
    this.#next = position;
  }

  /** Tokens that the session has, as far as appends have been answered. */
  get position(): number {
    return this.#position;
  }

  /** Appends tokens and gives their outputs, each of which has seen itself and those before it. */
  async append<const R extends AppendReturns = Nothing>(
    call: AppendCall<R>,
    options?: CallOptions,
  ): Promise<AppendResult<R>> {
    const body = { ...call, expected_position: this.#next };
    this.#next += tokensOf(call.embeddings);
    this.#pending++;
    const before = this.#pending > 1 ? this.#last : undefined;
    const answer = this.#transport.compute<AppendResult<R>>(`${this.#path}/append`, body, options, before);
    this.#last = answer;
    try {
      const result = await answer;
      this.#position = positionOf(result);
      return result;
    } finally {
      this.#pending--;
      if (this.#pending === 0) this.#next = this.#position;
    }
  }

  /** What the service says of it. Asking does not keep it. */
  describe(options?: CallOptions): Promise<SessionDescription> {
    const request = { method: 'GET', path: this.#path, repeat: 'passing' } as const;
    return this.#transport.sendForJson(request, SESSION, options);
  }

  /** Ends the session, so that its memory is free. */
  async end(options: CallOptions = {}): Promise<void> {
    await this.#transport.send(
      {
        method: 'DELETE',
        path: this.#path,
        accept: JSON_TYPE,
        repeat: 'passing',
        doneBefore: [404, 410],
      },
      options,
    );
  }
}

/** Where the session stands after an append. */
function positionOf({ position }: AppendResult): number {
  if (Number.isSafeInteger(position)) return position;
  const got = JSON.stringify(position);
  throw new AttentionResponseError(`The answer cannot be read: expected position, an integer; got ${got}`);
}

/** How many rows there are, of what the service will take. */
function tokensOf(embeddings: NumberTensor): number {
  return 'shape' in embeddings ? (embeddings.shape[0] ?? 0) : embeddings.length;
}
