import Fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { type LeaveTogetherOptions, leaveTogether } from '../../src/http/plugins/leave-together.ts';

/** What happens to so many requests that come in one turn, in order. */
async function happenings(requests: number, options: LeaveTogetherOptions): Promise<string[]> {
  const order: string[] = [];
  const app = Fastify();
  await app.register(leaveTogether, options);
  app.addHook('onSend', async () => void order.push('leaves'));
  app.get('/:number', (request, reply) => {
    order.push('ready');
    void reply.send((request.params as { number: string }).number);
  });
  await app.ready();
  const numbers = Array.from({ length: requests }, (_, number) => String(number));
  const answers = await Promise.all(numbers.map((number) => app.inject(`/${number}`)));
  expect(answers.map(({ body }) => body)).toEqual(numbers);
  await app.close();
  return order;
}

const times = (count: number, what: string) => Array<string>(count).fill(what);

describe('answers that are ready in one turn', () => {
  const forever = Number.POSITIVE_INFINITY;

  it('leave at its end, all of them', async () => {
    expect(await happenings(5, { mostWaiting: 10, longestWaitMs: forever })).toEqual([
      ...times(5, 'ready'),
      ...times(5, 'leaves'),
    ]);
  });

  it('leave when there are many', async () => {
    const order = await happenings(5, { mostWaiting: 2, longestWaitMs: forever });
    const pair = [...times(2, 'ready'), ...times(2, 'leaves')];
    expect(order).toEqual([...pair, ...pair, 'ready', 'leaves']);
  });

  it('do not wait longer than they may', async () => {
    const order = await happenings(4, { mostWaiting: 10, longestWaitMs: -1 });
    expect(order).toEqual(Array(4).fill(['ready', 'leaves']).flat());
  });
});
