import fp from 'fastify-plugin';

export interface LeaveTogetherOptions {
  /** Answers that wait for each other at most. */
  readonly mostWaiting?: number;
  /** How long the first of them waits for the computing of others. */
  readonly longestWaitMs?: number;
}

/**
 * Answers that are ready in the same turn of the event loop leave one right after the other at its end. Writing to a
 * connection wakes its reader, which takes longer than computing a small call where both are on one machine, as behind
 * a gateway; a reader that is awake for one answer finds the others without being woken again. To be registered before
 * the other hooks of answers: what they do goes between one write and the next, while the reader is at work.
 */
export const leaveTogether = fp<LeaveTogetherOptions>(
  async (app, { mostWaiting = 16, longestWaitMs = 0.5 }) => {
    let waiting: (() => void)[] = [];
    let since = 0;
    const leave = () => {
      const ready = waiting;
      waiting = [];
      for (const send of ready) send();
    };
    app.addHook('onSend', (_request, _reply, _payload, done) => {
      const now = performance.now();
      if (waiting.length === 0) {
        since = now;
        setImmediate(leave);
      }
      waiting.push(done);
      if (waiting.length === mostWaiting || now - since > longestWaitMs) leave();
    });
  },
);
