import { expect, test, vi } from 'vitest';
import { withEngine } from './support.ts';

test('the time of decoding counts once', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const body = Buffer.from('{"query":[[1,2]],"key":[[1,0],[0,2]],"value":[[4],[10]]}');
    const ticket = engine.admit(body.length);
    const bytes = ticket.takeBody(body.length, body.length);
    bytes.set(body);
    // A clock that stands still but while the envelope is parsed.
    const parse = JSON.parse;
    let clock = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => clock);
    vi.spyOn(JSON, 'parse').mockImplementation((...given) => {
      clock += 10;
      return parse(...given);
    });
    try {
      const request = {
        operation: 'scaled_dot_product_attention',
        format: 'json',
        bytes,
        answerFormat: 'json',
      };
      await ticket.call(request);
    } finally {
      vi.restoreAllMocks();
    }
    expect(ticket.timings).toEqual({ decodeMs: 10, queueMs: 0, computeMs: 0, encodeMs: 0 });
    ticket.release();
  });
});
