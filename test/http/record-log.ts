import { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';

/** A logger, its lines so far, and the line of a request, waited for. */
export function recordLog() {
  const lines: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(line, _encoding, done) {
      lines.push(JSON.parse(String(line)));
      done();
    },
  });
  const logged = async (id: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const line = lines.find((one) => one.request_id === id && one.msg === 'request');
      if (line !== undefined) return line;
      await setImmediate();
    }
  };
  return { logger: pino({ level: 'debug' }, sink), lines, logged };
}
