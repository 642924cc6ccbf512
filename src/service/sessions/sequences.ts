import { problemAt } from '../../domain/problem.ts';
import { unlessAborted } from '../../domain/unless-aborted.ts';
import type { Ticket } from '../../engine/engine.ts';
import type { Encoded } from '../../wire/format.ts';
import type { Sequence } from '../../wire/kserve/sequence.ts';
import { KeyedTurns } from '../turns.ts';
import type { AppendRequest, Sessions } from './sessions.ts';

/** One request of a sequence. */
interface Step {
  /** Names the session that the sequence is. */
  readonly id: string;
  readonly layer: string;
  readonly sequence: Sequence;
  readonly request: AppendRequest;
  readonly ticket: Ticket;
}

/**
 * Sequences of the Open Inference Protocol. Each is a session on a layer, under an id that the client has chosen: its
 * requests are appends, done in the order in which they come.
 */
export class Sequences {
  readonly #sessions: Sessions;
  readonly #turns = new KeyedTurns();

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  /**
   * Does the next request of a sequence. Where it throws, the sequence is as it was: a Problem `invalid_request` for one
   * that has not been started, `not_found` where there is no such layer, or one of beginning a session or appending to it.
   */
  append(layer: string, sequence: Sequence, request: AppendRequest, ticket: Ticket): Promise<Encoded> {
    const id = sessionId(layer, sequence, 'running');
    const turn = this.#turns.take(id, async () => {
      ticket.signal.throwIfAborted();
      const step = { id, layer, sequence, request, ticket };
      const encoded = await (sequence.starts ? this.#start(step) : this.#goOn(step));
      if (sequence.ends) this.#sessions.forget(id);
      return encoded;
    });
    return unlessAborted(turn, ticket.signal);
  }

  /** Whatever runs under the id is replaced once the first request of the new sequence has been answered. */
  async #start({ id, layer, sequence, request, ticket }: Step): Promise<Encoded> {
    const starting = sessionId(layer, sequence, 'starting');
    await this.#sessions.begin({ layer }, ticket.signal, starting);
    try {
      const encoded = await this.#sessions.append(starting, request, ticket);
      this.#sessions.rename(starting, id);
      return encoded;
    } finally {
      this.#sessions.forget(starting);
    }
  }

  #goOn({ id, layer, sequence, request, ticket }: Step): Promise<Encoded> {
    if (this.#sessions.knows(id)) return this.#sessions.append(id, request, ticket);
    const shown = typeof sequence.id === 'string' ? JSON.stringify(sequence.id) : sequence.id;
    const detail = `Expected true, since model "${layer}" has no sequence ${shown} that has started and not ended; got false`;
    throw problemAt('invalid_request', '/parameters/sequence_start', detail);
  }
}

/** Names the session of a sequence as no other is named: neither layers nor other sessions have a slash in theirs. */
function sessionId(layer: string, { id }: Sequence, state: 'starting' | 'running'): string {
  return `${layer}/${state}/${typeof id}/${id}`;
}
