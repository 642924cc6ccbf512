import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { put, TOKENS, TWO_HEADS } from '../layers/support.ts';
import { listen, post, send, type TestService } from '../support.ts';

const OWN_ID = /^[A-Za-z0-9_-]{22}$/;
const idOf = (digit: string) => digit.repeat(32);

let service: TestService;
const begin = (id: string, more: Record<string, string> = { 'x-forwarded-for': '198.51.100.7' }) =>
  post(`${service.url}/v1/sessions`, { layer: 'a' }, { 'x-session-id': id, ...more });

async function start(trustProxy: readonly string[]): Promise<void> {
  service = await listen({ trustProxy });
  await put(`${service.url}/v1/layers/a`, TWO_HEADS);
}

describe('the id that a trusted gateway gives a session', () => {
  beforeAll(() => start(['127.0.0.0/8']));
  afterAll(() => service.close());

  it('is its id', async () => {
    const { status, json, headers } = await begin(idOf('a'));
    expect([status, json.session_id]).toEqual([201, idOf('a')]);
    expect(headers.location).toBe(`/v1/sessions/${idOf('a')}`);
    const appended = await post(`${service.url}${headers.location}/append`, { embeddings: TOKENS });
    expect(appended.json.position).toBe(3);
  });

  it('is refused where there is a session of that id, which stays as it is', async () => {
    const address = `${service.url}/v1/sessions/${idOf('b')}`;
    const replies = await Promise.all([1, 2, 3].map(() => begin(idOf('b'))));
    expect(replies.map(({ status }) => status).sort()).toEqual([201, 400, 400]);
    const refused = replies.find(({ status }) => status === 400);
    expect(refused?.json).toMatchObject({
      code: 'invalid_header',
      detail: `X-Session-Id: expected an id that no session has; got ${idOf('b')}.`,
    });
    await post(`${address}/append`, { embeddings: TOKENS });
    expect((await begin(idOf('b'))).status).toBe(400);
    expect((await send(address)).json.position).toBe(3);
    // Once it is gone there is none.
    await send(address, { method: 'DELETE' });
    expect((await begin(idOf('b'))).json.position).toBe(0);
  });

  it.each([
    ['too short', 'c'.repeat(31)],
    ['too long', 'c'.repeat(33)],
    ['in capitals', idOf('C')],
    ['no number', 'layer/running/string/1'],
    ['two', `${idOf('c')}, ${idOf('d')}`],
  ])('is not used where it is %s', async (_what, id) => {
    const { status, json } = await begin(id);
    expect(status).toBe(201);
    expect(json.session_id).toMatch(OWN_ID);
  });

  it('is not used where nobody says that it is a gateway', async () => {
    expect((await begin(idOf('e'), {})).json.session_id).toMatch(OWN_ID);
  });
});

describe('the id that anybody else gives a session', () => {
  it.each([
    ['no gateway is trusted', []],
    ['another one is', ['192.0.2.1']],
  ])('is not used where %s', async (_what, trustProxy) => {
    await start(trustProxy);
    expect((await begin(idOf('a'))).json.session_id).toMatch(OWN_ID);
    await service.close();
  });
});
