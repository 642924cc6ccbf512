import type { ServerResponse } from 'node:http';
import type { Ticket } from '../engine/engine.ts';

/**
 * Gives a place in the engine back, exactly once, when the response is out or the client gone. The client may be gone
 * already, and its `close` past, where something was awaited before the place was taken: then the signal of the ticket is
 * aborted at once.
 */
export function releaseAtEnd(response: ServerResponse, ticket: Ticket): void {
  const end = () => {
    if (!response.writableFinished) ticket.cancel();
    ticket.release();
  };
  if (response.closed || response.destroyed) end();
  else response.once('close', end);
}
