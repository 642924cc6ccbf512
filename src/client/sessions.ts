import type { SessionBody } from '../contract/schemas/sessions.ts';
import { jsonText } from './json-text.ts';
import { JSON_TYPE } from './media-types.ts';
import { AttentionSession, SESSION } from './session.ts';
import type { CallOptions, Transport } from './transport.ts';

/** Sessions of a service: sequences of tokens that go through a registered layer piece by piece. */
export class SessionsClient {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Begins a session. Repeated only where the service has not begun one, or it would have two. */
  async begin(body: SessionBody, options?: CallOptions): Promise<AttentionSession> {
    const description = await this.#transport.sendForJson(
      {
        method: 'POST',
        path: '/v1/sessions',
        contentType: JSON_TYPE,
        body: Buffer.from(jsonText(body)),
        repeat: 'refused',
      },
      SESSION,
      options,
    );
    return new AttentionSession(this.#transport, description);
  }

  /** A session that was begun before, where it stands now. */
  async find(id: string, options?: CallOptions): Promise<AttentionSession> {
    const path = `/v1/sessions/${encodeURIComponent(id)}`;
    const request = { method: 'GET', path, repeat: 'passing' } as const;
    const description = await this.#transport.sendForJson(request, SESSION, options);
    return new AttentionSession(this.#transport, description);
  }
}
