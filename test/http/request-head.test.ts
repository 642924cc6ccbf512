import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawPost, readAnswers } from '../support/raw-connection.ts';
import { recordLog } from './record-log.ts';
import { listen, SDPA, SMALL, type TestService } from './support.ts';

const { logger, lines } = recordLog();
let service: TestService;
beforeAll(async () => {
  service = await listen({ logger });
});
afterAll(() => service.close());

describe('a head that HTTP/1.1 forbids is refused like every other', () => {
  it.each([
    ['no Host', 'GET /v1/info HTTP/1.1', 400, 'malformed_request', /^Host: expected/],
    [
      'another expectation',
      'GET /v1/info HTTP/1.1\r\nHost: a\r\nExpect: tea',
      417,
      'expectation_failed',
      /got "tea"/,
    ],
  ])('%s', async (_, head, status, code, detail) => {
    const [answer] = await readAnswers(service.url, [`${head}\r\nConnection: close\r\n\r\n`]);
    const problem = JSON.parse(String(answer.body));
    expect(problem).toMatchObject({
      status,
      code,
      instance: '/v1/info',
      detail: expect.stringMatching(detail),
    });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('x-request-id')).toBe(problem.request_id);
    expect(lines).toContainEqual(
      expect.objectContaining({ request_id: problem.request_id, msg: 'request', status }),
    );
  });

  it('but not in HTTP/1.0, which has neither', async () => {
    expect(await statusesTo('GET /health/live HTTP/1.0\r\nExpect: tea\r\n\r\n')).toEqual([200]);
  });

  it('but not the wait for a word to send the body', async () => {
    const call = rawPost(SDPA, SMALL, ['Expect: 100-continue', 'Connection: close']);
    expect(await statusesTo(call)).toEqual([100, 200]);
  });
});

async function statusesTo(bytes: string): Promise<number[]> {
  return (await readAnswers(service.url, [bytes])).map(({ status }) => status);
}
