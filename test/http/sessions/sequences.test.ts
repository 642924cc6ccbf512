import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { seeded } from '../../support/random.ts';
import { getInferenceRequest, InferResult } from '../../support/triton.ts';
import { put, TOKENS, TWO_HEADS } from '../layers/support.ts';
import { listen, post, type Reply, send, type TestService } from '../support.ts';
import { LAYERS, matrix, WIDTH } from './layers.ts';

/* Sequences of the Open Inference Protocol: sessions whose ids the client has chosen. */

let service: TestService;
beforeAll(async () => {
  service = await listen({ threads: 2 });
  await put(`${service.url}/v1/layers/two-heads`, TWO_HEADS);
  await put(`${service.url}/v1/layers/other`, { ...TWO_HEADS, scale: 0.1 });
});
afterAll(() => service.close());

/** One that no test before has used. */
let id = 0;
beforeEach(() => {
  id++;
});

const inferUrl = (model = 'two-heads', at = service) => `${at.url}/v2/models/${model}/infer`;

function bodyOf(tokens: readonly number[][], parameters: object, outputs?: readonly string[]): object {
  const input = { name: 'embeddings', shape: [tokens.length, tokens[0].length], datatype: 'FP32' };
  return {
    inputs: [{ ...input, data: tokens.flat() }],
    parameters,
    ...(outputs === undefined ? {} : { outputs: outputs.map((name) => ({ name })) }),
  };
}

const infer = (tokens: readonly number[][], parameters: object, url = inferUrl()): Promise<Reply> =>
  post(url, bodyOf(tokens, { sequence_id: id, ...parameters }));

/** The rows of its output. */
function outputOf({ status, text, json }: Reply): number[][] {
  expect(status, text).toBe(200);
  const { shape, data } = json.outputs[0];
  return Array.from({ length: shape[0] }, (_, row) => data.slice(row * shape[1], (row + 1) * shape[1]));
}

function expectRefused({ status, json }: Reply, expected: number, words: RegExp): void {
  expect(Object.keys(json)).toEqual(['error']);
  expect(json.error).toMatch(words);
  expect(status).toBe(expected);
}

const openSessions = async () => (await send(`${service.url}/v1/info`)).json.sessions.open;

describe.each(['hf_gpt2', 'hf_llama with one key head and a window', 'float64, in a window'])(
  'a sequence on a layer with %s',
  (name) => {
    const length = 40;
    const tokens = matrix(seeded(5), length, WIDTH);
    const layer = name.replaceAll(/[^a-z0-9]/g, '-');
    let whole: number[][];
    let largest: number;
    beforeAll(async () => {
      const { query, body } = LAYERS[name];
      const made = await put(`${service.url}/v1/layers/${layer}?${query}`, body);
      expect(made.status, made.text).toBe(201);
      const pass = await post(`${service.url}/v1/layers/${layer}/attention`, {
        embeddings: tokens,
        causal: true,
      });
      whole = pass.json.output;
      largest = Math.max(...whole.flat().map(Math.abs));
    });

    const expectClose = (output: readonly number[][]) => {
      expect(output).toHaveLength(length);
      for (const [i, row] of output.entries()) {
        for (const [c, number] of row.entries()) {
          expect(Math.abs(number - whole[i][c]) / largest).toBeLessThanOrEqual(3e-6);
        }
      }
    };

    const flags = (from: number, to: number) => ({
      ...(from === 0 ? { sequence_start: true } : {}),
      ...(to === length ? { sequence_end: true } : {}),
    });

    it.each([
      ['token by token', new Array(length).fill(1)],
      ['with a prefill', [25, ...new Array(length - 25).fill(1)]],
    ])('%s, as JSON, gives what one pass gives', async (_way, sizes: number[]) => {
      const output: number[][] = [];
      for (const size of sizes) {
        const [from, to] = [output.length, output.length + size];
        const reply = await infer(tokens.slice(from, to), flags(from, to), inferUrl(layer));
        output.push(...outputOf(reply));
        expect(reply.json.parameters.position).toBe(to);
      }
      expectClose(output);
    });

    it('token by token, as bytes both ways, gives what one pass gives', async () => {
      const output: number[][] = [];
      for (let from = 0; from < length; from++) {
        const array = Float32Array.from(tokens[from]);
        const input = { name: 'embeddings', shape: [1, WIDTH], datatype: 'FP32', array };
        const parameters = { sequence_id: `bytes ${id}`, ...flags(from, from + 1) };
        const { body, jsonSize } = getInferenceRequest([input], { parameters });
        const reply = await fetch(inferUrl(layer), {
          method: 'POST',
          headers: { 'inference-header-content-length': String(jsonSize) },
          body: Uint8Array.from(body),
        });
        expect(reply.status).toBe(200);
        const headerLength = reply.headers.get('inference-header-content-length') ?? undefined;
        const result = new InferResult(new Uint8Array(await reply.arrayBuffer()), headerLength);
        output.push(result.asNumpy('output').values.map(Number));
      }
      expectClose(output);
    });
  },
);

describe('a sequence', () => {
  const [first, second] = [TOKENS.slice(0, 2), TOKENS.slice(2)];
  const START = { sequence_start: true };

  it('has to be started, and is over when it has ended', async () => {
    const needsStart = /^\/parameters\/sequence_start: Expected true.*"two-heads" has no sequence/;
    expectRefused(await infer(first, {}), 400, needsStart);
    expectRefused(await infer(first, { sequence_end: true }), 400, needsStart);
    const before = await openSessions();
    outputOf(await infer(first, START));
    expect(await openSessions()).toBe(before + 1);
    outputOf(await infer(second, { sequence_end: true }));
    expect(await openSessions()).toBe(before);
    expectRefused(await infer(second, {}), 400, needsStart);
    outputOf(await infer(first, { ...START, sequence_end: true }));
    expect(await openSessions()).toBe(before);
    expectRefused(await infer(second, {}), 400, needsStart);
  });

  it('replaces the one of its id when it starts', async () => {
    const once = outputOf(await infer(first, START));
    outputOf(await infer(second, {}));
    const before = await openSessions();
    const again = await infer(first, START);
    expect(outputOf(again)).toEqual(once);
    expect(again.json.parameters.position).toBe(2);
    expect(await openSessions()).toBe(before);
  });

  it('is another one on another model, and by a string of the same digits', async () => {
    const url = inferUrl('other');
    outputOf(await infer(TOKENS, START));
    outputOf(await infer(first, START, url));
    outputOf(await infer(second, { ...START, sequence_id: String(id) }));
    outputOf(await infer(first, { ...START, sequence_id: 2 ** 53 + 2 }));
    const positions = await Promise.all(
      [infer(second, {}), infer(second, {}, url), infer(second, { sequence_id: String(id) })].map(
        async (reply) => (await reply).json.parameters.position,
      ),
    );
    expect(positions).toEqual([4, 3, 2]);
    const whole = await post(`${service.url}/v1/layers/other/attention`, {
      embeddings: TOKENS,
      causal: true,
    });
    outputOf(await infer(first, START, url));
    expect(outputOf(await infer(second, {}, url))).toEqual(whole.json.output.slice(2));
  });

  it('tells ids of 64 bits apart', async () => {
    const body = (sequence: string, parameters: string) =>
      JSON.stringify(bodyOf(second, {})).replace(
        '"parameters":{}',
        `"parameters":{"sequence_id":${sequence}${parameters}}`,
      );
    const [one, next] = ['18446744073709551614', '18446744073709551615'];
    expect((await post(inferUrl(), body(one, ',"sequence_start":true'))).status).toBe(200);
    expectRefused(await post(inferUrl(), body(next, '')), 400, new RegExp(next));
    expect((await post(inferUrl(), body(one, ''))).json.parameters.position).toBe(2);
  });

  it('does requests that come at once in their order', async () => {
    const pieces = Array.from({ length: 12 }, (_, index) => matrix(seeded(index), 1 + (index % 3), 4));
    const bodies = [
      ...pieces.map((tokens, index) => bodyOf(tokens, { sequence_id: id, ...(index === 0 ? START : {}) })),
      bodyOf(first, { sequence_id: id, ...START }),
      bodyOf(second, { sequence_id: id, sequence_end: true }),
    ];
    // On one connection they come in the order in which they are sent.
    const { origin, pathname: path } = new URL(inferUrl());
    const connection = new Client(origin, { pipelining: bodies.length });
    const replies = await Promise.all(
      bodies.map(async (body) => {
        const sent = { method: 'POST', path, body: JSON.stringify(body), idempotent: true } as const;
        const { statusCode: status, headers, body: answer } = await connection.request(sent);
        const text = await answer.text();
        return { status, headers, text, json: JSON.parse(text) };
      }),
    );
    await connection.close();
    const output = replies.slice(0, -2).flatMap(outputOf);
    const ends = pieces.map((_, index) => pieces.slice(0, index + 1).flat().length);
    expect(replies.map(({ json }) => json.parameters.position)).toEqual([...ends, 2, 3]);
    const whole = await post(`${service.url}/v1/layers/two-heads/attention`, {
      embeddings: pieces.flat(),
      causal: true,
    });
    for (const [i, row] of output.entries()) {
      for (const [c, number] of row.entries()) expect(number).toBeCloseTo(whole.json.output[i][c], 5);
    }
  });

  it('is as it was after a request that fails', async () => {
    outputOf(await infer(first, START));
    const wide = [[1, 2, 3, 4, 5]];
    const huge = [[1e38, 1e38, 1e38, 1e38]];
    for (const flags of [{}, START, { sequence_end: true }, { ...START, sequence_end: true }]) {
      expectRefused(await infer(wide, flags), 422, /^\/embeddings/);
      expectRefused(await infer(huge, flags), 422, /beyond the range/);
      expectRefused(await infer(first, { causal: 'none', ...flags }), 400, /^\/parameters\/causal/);
    }
    expectRefused(await infer(first, { expected_position: 1 }), 409, /at position 2; got 1/);
    const whole = await post(`${service.url}/v1/layers/two-heads/attention`, {
      embeddings: TOKENS,
      causal: true,
    });
    expect(outputOf(await infer(second, { expected_position: 2 }))).toEqual(whole.json.output.slice(2));
    expect((await infer(second, { expected_position: 2 })).json.parameters.position).toBe(3);
  });

  it('takes its tokens as the batch of one that the metadata declares, and answers in that rank', async () => {
    const { inputs } = (await send(`${service.url}/v2/models/two-heads`)).json;
    expect(inputs[0]).toMatchObject({ name: 'embeddings', shape: [-1, -1, -1] });
    const flat = [await infer(first, START), await infer(second, { 'return.weights': true })];
    const batched = (tokens: readonly number[][], parameters: object, batch = 1) => {
      const input = { name: 'embeddings', shape: [batch, tokens.length / batch, tokens[0].length] };
      const inputs = [{ ...input, datatype: 'FP32', data: tokens.flat() }];
      return post(inferUrl(), { inputs, parameters: { sequence_id: `batch ${id}`, ...parameters } });
    };
    const replies = [await batched(first, START), await batched(second, { 'return.weights': true })];
    for (const [index, { status, json, text }] of replies.entries()) {
      expect(status, text).toBe(200);
      const expected = flat[index].json.outputs.map(({ shape, ...output }: { shape: number[] }) => {
        return { ...output, shape: [1, ...shape] };
      });
      expect(json.outputs).toEqual(expected);
      expect(json.parameters.position).toBe(flat[index].json.parameters.position);
    }
    expectRefused(await batched(first, {}, 2), 422, /\[n, D\] or \[1, n, D\]; got \[2, 1, 4\]/);
    expectRefused(await batched([[1, 2, 3]], {}), 422, /\[n, D\] or \[1, n, D\] with 4 numbers.*\[1, 1, 3\]/);
  });

  it('takes embeddings only, whatever its model lists', async () => {
    outputOf(await infer(first, START));
    const [input] = (bodyOf(second, {}) as { inputs: object[] }).inputs;
    const mask = { name: 'allow_mask', shape: [1, 3], datatype: 'BOOL', data: [true, true, true] };
    const body = { inputs: [input, mask], parameters: { sequence_id: id } };
    const words =
      /^\/inputs\/1\/name: Expected embeddings only, as a request of a sequence takes it; got "allow_mask"/;
    expectRefused(await post(inferUrl(), body), 400, words);
  });

  it('gives maps, and takes outputs by name', async () => {
    outputOf(await infer(first, START));
    const body = bodyOf(second, { sequence_id: id, 'return.weights.reduce': 'mean' }, ['weights', 'output']);
    const { json } = await post(inferUrl(), body);
    const shapes = json.outputs.map(({ name, shape }: { name: string; shape: number[] }) => [name, shape]);
    expect(shapes).toEqual([
      ['weights', [1, 3]],
      ['output', [1, 4]],
    ]);
    expect(json.parameters.first_key_position).toBe(0);
  });

  it('is lost with what its layer was, and says so', async () => {
    const url = inferUrl('brief');
    await put(`${service.url}/v1/layers/brief`, TWO_HEADS);
    outputOf(await infer(first, START, url));
    await put(`${service.url}/v1/layers/brief`, { ...TWO_HEADS, scale: 0.3 });
    const gone = /^The session is gone: layer "brief" has another content now/;
    expectRefused(await infer(second, {}, url), 410, gone);
    expectRefused(await infer(second, { sequence_end: true }, url), 410, gone);
    outputOf(await infer(first, START, url));
    outputOf(await infer(second, { sequence_end: true }, url));
    expectRefused(await infer(second, {}, url), 400, /sequence_start/);
  });

  it('is refused by operations, and by layers that no session can be on', async () => {
    const mha = { inputs: bodyOf(TOKENS, {}), parameters: { sequence_id: 1, sequence_start: true } };
    expectRefused(
      await post(inferUrl('multi-head-attention'), { ...mha, inputs: Reflect.get(mha.inputs, 'inputs') }),
      400,
      /^\/parameters\/sequence_id: .*only registered layers/,
    );
    await put(`${service.url}/v1/layers/ahead`, { ...TWO_HEADS, causal: { offset: 1 } });
    expectRefused(await infer(first, START, inferUrl('ahead')), 422, /sees itself and those before it/);
    expectRefused(await infer(first, START, inferUrl('nothing')), 404, /no model/);
  });

  it('of 0 is none: the request is a call by itself', async () => {
    const whole = await post(`${service.url}/v1/layers/two-heads/attention`, { embeddings: TOKENS });
    const none = { sequence_id: 0, sequence_start: false, sequence_end: false };
    expect(outputOf(await infer(TOKENS, none))).toEqual(whole.json.output);
    expectRefused(await infer(TOKENS, { ...none, ...START }), 400, /^\/parameters\/sequence_id/);
  });

  it('is an extension that the server names', async () => {
    const { extensions } = (await send(`${service.url}/v2`)).json;
    expect(extensions).toEqual(expect.arrayContaining(['sequence', 'sequence(string_id)']));
  });
});

describe('where memory or time is short', () => {
  const START = { sequence_start: true };

  it('the sequence that has waited for longest is lost, for sessions too, and says so until it starts again', async () => {
    const small = await listen({ limits: { sessionBytes: 3 * 4096 } });
    await put(`${small.url}/v1/layers/two-heads`, TWO_HEADS);
    const url = inferUrl('two-heads', small);
    // 64 rows of two times four numbers, and what each session counts for.
    outputOf(await infer(TOKENS, { ...START, sequence_id: 'a' }, url));
    await post(`${small.url}/v1/sessions`, { layer: 'two-heads' });
    outputOf(await infer(TOKENS, { ...START, sequence_id: 'b' }, url));
    expectRefused(await infer(TOKENS, { sequence_id: 'a' }, url), 410, /its memory was needed for others/);
    expect((await infer(TOKENS, { sequence_id: 'b' }, url)).json.parameters.position).toBe(6);
    outputOf(await infer(TOKENS, { ...START, sequence_id: 'a' }, url));
    expect((await infer(TOKENS, { sequence_id: 'a' }, url)).json.parameters.position).toBe(6);
    await small.close();
  });

  it('a sequence without requests is lost', async () => {
    // Longer than a first request takes on a machine that has other things to do.
    const brief = await listen({ limits: { sessionIdleMs: 1000 } });
    await put(`${brief.url}/v1/layers/two-heads`, TWO_HEADS);
    const url = inferUrl('two-heads', brief);
    outputOf(await infer(TOKENS, START, url));
    await sleep(1100);
    const reply = await infer(TOKENS, {}, url);
    expectRefused(reply, 410, /nothing was appended to it for 1 seconds?/);
    await brief.close();
  });
});
