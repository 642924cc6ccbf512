import { afterAll, describe, expect, test, vi } from 'vitest';
import type { Layer } from '../../src/contract/layer.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/domain/limits.ts';
import type { CallRequest } from '../../src/engine/engine.ts';
import { PreparedCall } from '../../src/engine/prepared-call.ts';
import { seeded } from '../support/random.ts';
import {
  asNew,
  keptAnswer,
  layerCall,
  type Outcome,
  outcomeBy,
  outcomeOf,
  STORED_TYPES,
  startEngine,
  TestLayers,
  type Tokens,
  textOf,
  tokensOf,
  WAYS,
} from './layer-calls.ts';
import { withEngine } from './support.ts';

const WIDTH = 8;

function matrix(rows: number, columns: number, seed: number): number[][] {
  const random = seeded(seed);
  return Array.from({ length: rows }, () => Array.from({ length: columns }, () => random.normal()));
}

/** A layer of two heads. */
function layerBody(seed = 1): object {
  const [w_q, w_k, w_v, w_o] = [0, 1, 2, 3].map((part) => matrix(WIDTH, WIDTH, 4 * seed + part));
  return { heads: 2, projections: { w_q, w_k, w_v, w_o } };
}

const tokens = (seed: number, rows = 5) => tokensOf({ embeddings: [rows, WIDTH] }, seed);
const [STORED, , , JSON_CALL] = WAYS;
const AS_JSON = { format: 'json', answerFormat: 'json' } as const;
const RETURNS = { return: { weights: true, log_sum_exp: true } };

/** How often a call has to come until it is prepared. */
const TWICE = 2;

const { engine, layers } = await startEngine();
afterAll(() => engine.close());

/** One that has never been called. */
const newLayer = async (name: string) => asNew(await layers.put(name, layerBody()));
const fresh = (request: CallRequest) =>
  outcomeBy(engine, { ...request, layer: asNew(request.layer as Layer) });
const envelopeOf = (outcome: Outcome) => {
  if ('problem' in outcome) throw new Error(JSON.stringify(outcome.problem));
  return JSON.parse(outcome.answer);
};

/** Sends calls of one form until they are prepared. */
function prepareFor(request: CallRequest): void {
  for (let turn = 0; turn < TWICE; turn++) expect(keptAnswer(engine, request)).toBeNull();
}

function keptOutcome(request: CallRequest, by = engine, limits = DEFAULT_LIMITS): Promise<Outcome> {
  return outcomeOf(() => {
    const bytes = keptAnswer(by, request, limits);
    if (bytes === null) throw new Error('It was not prepared.');
    return bytes;
  });
}

describe('the same call again', () => {
  test('has the same bytes each time, and those of a new engine, in every format', async () => {
    const send = async (times: number) => {
      const answers: Outcome[][] = [];
      await withEngine({ threads: 1 }, async (one) => {
        const layer = await new TestLayers(one).put('layer', layerBody());
        for (const way of WAYS) {
          const request = layerCall(layer, way, tokens(1), RETURNS);
          const turns: Outcome[] = [];
          for (let turn = 0; turn < times; turn++) turns.push(await outcomeBy(one, request));
          answers.push(turns);
        }
      });
      return answers;
    };
    const [often, once] = [await send(6), await send(1)];
    for (const [way, [first]] of once.entries()) {
      expect(first).toHaveProperty('answer');
      expect(often[way]).toEqual(Array.from({ length: 6 }, () => first));
    }
  });

  test.each(WAYS)(
    'is not planned again by an engine that has come to know it: $format to $answerFormat',
    async (way) => {
      const layer = await newLayer('planned');
      const random = seeded(1);
      const kernels = engine.kernels.map((kernel) => vi.spyOn(kernel, 'plan'));
      try {
        let inARow = 0;
        // Until its kernel is known to be fast it goes to the workers.
        for (let turn = 0; inARow < 5 && turn < 1000; turn++) {
          for (const plan of kernels) plan.mockClear();
          const outcome = await outcomeBy(engine, layerCall(layer, way, tokens(random.below(1000))));
          expect(outcome).toHaveProperty('answer');
          inARow = kernels.some((plan) => plan.mock.calls.length > 0) ? 0 : inARow + 1;
        }
        expect(inARow).toBe(5);
      } finally {
        for (const plan of kernels) plan.mockRestore();
      }
    },
  );
});

describe('calls of one form', () => {
  test('have an answer each, whichever way they take, eight at a time', async () => {
    const layer = await newLayer('many');
    for (const way of WAYS) {
      const calls = Array.from({ length: 8 }, (_, seed) => layerCall(layer, way, tokens(seed), RETURNS));
      const expected = await Promise.all(calls.map(fresh));
      expect(new Set(expected.map((outcome) => JSON.stringify(outcome)))).toHaveProperty('size', 8);
      for (let round = 0; round < 6; round++) {
        const outcomes = await Promise.all(calls.map((call) => outcomeBy(engine, call)));
        expect(outcomes).toEqual(expected);
      }
    }
  });

  test.each(WAYS)(
    'leave the answers that were handed out as they are: $format to $answerFormat',
    async (way) => {
      const layer = await newLayer('handed');
      prepareFor(layerCall(layer, way, tokens(0)));
      const answers: Uint8Array[] = [];
      const then: string[] = [];
      for (let seed = 1; seed <= 5; seed++) {
        const bytes = keptAnswer(engine, layerCall(layer, way, tokens(seed)))!;
        answers.push(bytes);
        then.push(textOf(bytes));
      }
      expect(answers.map(textOf)).toEqual(then);
      expect(new Set(then)).toHaveProperty('size', 5);
      // Whoever sends an answer may do with it what he likes.
      for (const bytes of answers) bytes.fill(0);
      const last = layerCall(layer, way, tokens(1));
      expect(await keptOutcome(last)).toEqual({ answer: then[0] });
    },
  );

  test('stand apart from those of other options, shapes, types and formats', async () => {
    const layer = await newLayer('apart');
    const calls = [
      ...WAYS.map((way) => layerCall(layer, way, tokens(1))),
      ...[STORED, JSON_CALL, AS_JSON].flatMap((way) => [
        layerCall(layer, way, tokens(1), { causal: true }),
        layerCall(layer, way, tokens(1), { scale: 0.25 }),
        layerCall(layer, way, tokens(1), { precision: 'float64' }, 'F64'),
        layerCall(layer, way, tokens(1), { response: { encoding: 'base64' } }),
        layerCall(layer, way, tokens(1), { rope: { pairing: 'half', offset: 3 } }),
        layerCall(layer, way, tokens(1, 6)),
        layerCall(layer, way, tokensOf({ embeddings: [1, 5, WIDTH] }, 1)),
        layerCall(layer, way, tokensOf({ embeddings: [5, WIDTH], context: [5, WIDTH] }, 1)),
      ]),
      ...(['F64', 'F16', 'BF16'] as const).map((type) => layerCall(layer, STORED, tokens(1), {}, type)),
    ];
    const expected = await Promise.all(calls.map(fresh));
    for (let round = 0; round < 5; round++) {
      for (const [index, call] of calls.entries()) {
        const bytes = keptAnswer(engine, call);
        if (bytes !== null) expect({ answer: textOf(bytes) }).toEqual(expected[index]);
        expect(bytes !== null, `call ${index}, round ${round}`).toBe(round >= TWICE);
      }
    }
  });
});

describe('elements that lie behind a head', () => {
  const KSERVE = WAYS.at(-1)!;

  test.each([
    ['safetensors in float32', STORED, {}, 'F32', false],
    ['an inference request', KSERVE, {}, 'F32', false],
    ['safetensors in float64, for a call in float64', STORED, { precision: 'float64' }, 'F64', false],
    ['safetensors in float64, for a call in float32', STORED, {}, 'F64', true],
    ['safetensors in bfloat16', STORED, {}, 'BF16', true],
    ['JSON', JSON_CALL, {}, 'F32', true],
  ] as const)(
    'are taken as they lie, all others are decoded: %s',
    async (_, way, options, type, isDecoded) => {
      const layer = await newLayer('lying');
      const call = (seed: number) => layerCall(layer, way, tokens(seed), options, type);
      prepareFor(call(0));
      const takeTensors = vi.spyOn(PreparedCall.prototype, 'takeTensors');
      try {
        for (const seed of [1, 2, 3]) expect(await keptOutcome(call(seed))).toEqual(await fresh(call(seed)));
        expect(takeTensors).toHaveBeenCalledTimes(isDecoded ? 3 : 0);
      } finally {
        takeTensors.mockRestore();
      }
    },
  );

  test.each([STORED, KSERVE])('are refused as ever where there are more or fewer: $format', async (way) => {
    const layer = await newLayer('longer');
    const good = layerCall(layer, way, tokens(1));
    prepareFor(good);
    for (const length of [-4, -1, 1, 4, 160]) {
      const bytes = new Uint8Array(good.bytes.length + length);
      bytes.set(good.bytes.subarray(0, bytes.length));
      const bad = { ...good, bytes };
      const outcome = await fresh(bad);
      expect(outcome).toHaveProperty('problem');
      expect(await keptOutcome(bad)).toEqual(outcome);
    }
    expect(await keptOutcome(good)).toEqual(await fresh(good));
  });

  test('may begin anywhere', async () => {
    const layer = await newLayer('odd');
    const good = layerCall(layer, KSERVE, tokens(1));
    const odd = (at: number) => {
      const bytes = new Uint8Array(good.bytes.length + at).subarray(at);
      bytes.set(good.bytes);
      return { ...good, bytes };
    };
    prepareFor(odd(1));
    for (const at of [0, 1, 2, 3, 5]) expect(await keptOutcome(odd(at))).toEqual(await fresh(good));
  });
});

describe('a refusal', () => {
  const withElement = (element: number): Tokens => {
    const { embeddings } = tokens(3);
    return { embeddings: { ...embeddings, numbers: embeddings.numbers.with(11, element) } };
  };
  /** JSON has no word for such a number but its bytes. */
  const call = (layer: Layer, format: 'json' | 'safetensors', given: Tokens): CallRequest => {
    if (format === 'safetensors') return layerCall(layer, STORED, given);
    const { shape, numbers } = given.embeddings;
    const data = Buffer.from(STORED_TYPES.F32(numbers)).toString('base64');
    const bytes = Buffer.from(JSON.stringify({ embeddings: { dtype: 'float32', shape, data } }));
    return { ...layerCall(layer, AS_JSON, given), bytes };
  };

  test.each([
    ['safetensors', Number.NaN],
    ['safetensors', Number.POSITIVE_INFINITY],
    ['json', Number.NaN],
    ['json', Number.NEGATIVE_INFINITY],
  ] as const)(
    'of %s with %d is the same for a call that is known, and the next is answered',
    async (format, element) => {
      const layer = await newLayer('refusing');
      const bad = call(layer, format, withElement(element));
      const good = call(layer, format, tokens(4));
      const first = await fresh(bad);
      expect(first).toMatchObject({ problem: { code: 'invalid_tensor' } });
      const expected = await fresh(good);
      prepareFor(good);
      for (let turn = 0; turn < 3; turn++) {
        expect(await keptOutcome(bad)).toEqual(first);
        expect(await keptOutcome(good)).toEqual(expected);
        expect(await outcomeBy(engine, bad)).toEqual(first);
        expect(await outcomeBy(engine, good)).toEqual(expected);
      }
    },
  );

  test('for an overflow comes with a known call, first or later, and the next is answered', async () => {
    const layer = await newLayer('overflowing');
    const good = layerCall(layer, STORED, tokens(4));
    const bad = layerCall(layer, STORED, withElement(3e38));
    const [first, expected] = [await fresh(bad), await fresh(good)];
    expect(first).toMatchObject({ problem: { code: 'numeric_overflow' } });
    prepareFor(good);
    for (const call of [bad, good, bad, bad, good, good]) {
      expect(await keptOutcome(call)).toEqual(call === bad ? first : expected);
    }
  });

  test('for rows that see no key stands at every turn, and where they may, they are counted', async () => {
    const layer = await newLayer('empty');
    const options = { causal: { offset: -2 } };
    const refused = layerCall(layer, AS_JSON, tokens(1), { ...options, empty_rows: 'error' });
    const counted = layerCall(layer, AS_JSON, tokens(1), options);
    const [problem, answer] = [await fresh(refused), await fresh(counted)];
    expect(problem).toMatchObject({ problem: { code: 'empty_row', errors: [{ pointer: '/empty_rows' }] } });
    expect(envelopeOf(answer).empty_rows).toBe(4);
    for (const call of [refused, counted]) prepareFor(call);
    for (let turn = 0; turn < 4; turn++) {
      expect(await keptOutcome(refused)).toEqual(problem);
      expect(await keptOutcome(counted)).toEqual(answer);
    }
  });

  test('for a call over the budget stands at every turn', async () => {
    const limits: Partial<Limits> = { requestFlops: 100_000 };
    await withEngine({ threads: 1, limits }, async (small) => {
      const layer = await new TestLayers(small, limits).put('small', layerBody());
      const request = layerCall(layer, STORED, tokens(1, 128));
      const within = layerCall(layer, STORED, tokens(1, 4));
      const budget = { ...DEFAULT_LIMITS, ...limits };
      expect(keptAnswer(small, request, budget)).toBeNull();
      for (let turn = 0; turn < 5; turn++) {
        const outcome = await outcomeBy(small, request);
        expect(outcome).toMatchObject({ problem: { code: 'over_budget' } });
        // It is not prepared either.
        expect(await keptOutcome(request, small, budget)).toEqual(outcome);
        expect(await outcomeBy(small, within)).toHaveProperty('answer');
        expect(small.stats()).toMatchObject({ requests: 0, bytes: 0 });
      }
    });
  });

  test.each([
    ['an option of the layer', { heads: 2 }, 'invalid_option'],
    ['an option that is none', { cuasal: true }, 'invalid_request'],
    ['a map of a head that is none', { return: { weights: { heads: [7] } } }, 'invalid_option'],
  ])('for %s stands at every turn', async (_, options, code) => {
    const layer = await newLayer('strict');
    const request = layerCall(layer, STORED, tokens(1), options);
    for (let turn = 0; turn < 5; turn++) {
      expect(await outcomeBy(engine, request)).toMatchObject({ problem: { code } });
    }
  });
});
