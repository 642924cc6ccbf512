import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeTensor } from './helpers.ts';
import { bitsOfFloat32, exactDecimal, FORMATS, float32OfBits, nearest } from './oracle.ts';

type NarrowDType = keyof typeof FORMATS;

function read(texts: readonly string[], dtype: NarrowDType): number[] {
  const rest = dtype === 'float64' ? ',"precision":"float64"' : '';
  const tensor = `{"dtype":"${dtype}","shape":[${texts.length}],"data":[${texts}]}`;
  return [...decodeTensor(tensor, 'query', rest).data];
}

function expectNearest(texts: readonly string[], dtype: NarrowDType): void {
  const expected = texts.map((text) => nearest(text, FORMATS[dtype]));
  const inRange = texts.filter((_, index) => Number.isFinite(expected[index]));
  expect(read(inRange, dtype)).toEqual(expected.filter(Number.isFinite));
}

/** A decimal just below, at and just above the point halfway between two neighbouring float32s. */
function aroundHalfway(pattern: number): string[] {
  const low = float32OfBits(pattern);
  const halfway = exactDecimal((low + float32OfBits(pattern + 1)) / 2);
  const pointed = halfway.includes('.') ? halfway : `${halfway}.0`;
  const below = pointed.replace(
    /[1-9]0*$/,
    (tail) => `${Number(tail[0]) - 1}${'9'.repeat(tail.length + 20)}`,
  );
  return [halfway, `${pointed}${'0'.repeat(25)}1`, below.includes('.') ? below : halfway];
}

describe('the oracle', () => {
  test('agrees with V8 on float64, and with fround on decimals that are float64s', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(nearest(Object.is(value, -0) ? '-0' : String(value), FORMATS.float64)).toBe(value);
        if (Math.abs(value) < 1e30 && Math.abs(value) > 1e-30) {
          const exact = `${value < 0 ? '-' : ''}${exactDecimal(value)}`;
          expect(nearest(exact, FORMATS.float32)).toBe(Math.fround(value));
          expect(nearest(exact, FORMATS.float16)).toBe(Math.f16round(value));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('numbers of a tensor', () => {
  const notable = [
    [
      '0',
      '-0',
      '0.0',
      '-0.0e5',
      '0e999999',
      '0e-99999999999999999999',
      '1',
      '-1',
      '0.1',
      '0.2',
      '1e0',
      '1E+2',
    ],
    [
      '16777215',
      '16777216',
      '16777217',
      '16777219',
      '33554433',
      '33554434',
      '123456789012345678901234567890',
    ],
    [
      '1.1754943508222875e-38',
      '1.1754942e-38',
      '1e-45',
      '7e-46',
      '7.1e-46',
      '1e-46',
      '1e-400',
      '2.5e-39',
      '9999999999999999999e-70',
      '9999999999999999999e-71',
      '9999999999999999999e-64',
    ],
    ['3.4028234663852886e38', '3.4028235677973362e38', '340282356779733661637539395458142568447'],
    ['0.000000000000000000000000000000000000000000001401298464324817', '0.00001', '100000.00001'],
    ['1.00000017881393421514957253748434595763683319091796875001', '1.00000017881393432617187499'],
    ['1.00000005960464477540', '1.0000000596046447754', '1.00000005960464477539062500000000000000001'],
    ['9007199254740993', '9007199254740992.5', '0.30000000000000004', '1.7976931348623157e30', '5e-30'],
  ].flat();

  test.each(Object.keys(FORMATS) as NarrowDType[])('%s is the nearest value to the decimal', (dtype) => {
    expectNearest(notable, dtype);
    expectNearest(
      notable.map((text) => (text.startsWith('-') ? text.slice(1) : `-${text}`)),
      dtype,
    );
  });

  test('a decimal near a halfway point is rounded once, not to float64 first', () => {
    // The float64 nearest to this is the halfway point itself, from which ties-to-even would go down.
    const text = '1.00000005960464477539062500000000000001';
    expect(Math.fround(Number(text))).toBe(1);
    expect(read([text], 'float32')).toEqual([float32OfBits(bitsOfFloat32(1) + 1)]);
    expect(read(['1.0000000596046447753906250000'], 'float32')).toEqual([1]);
  });

  test('decimals around halfway points, in every binade', () => {
    const texts: string[] = [];
    for (let exponent = 0; exponent < 255; exponent++) {
      for (const fraction of [0, 1, 0x400000, 0x7ffffe, 0x7fffff]) {
        const pattern = (exponent << 23) | fraction;
        if (pattern < 0x7f7fffff) texts.push(...aroundHalfway(pattern));
      }
    }
    expectNearest(texts, 'float32');
  });

  test('halfway points and decimals next to them, in every notation', () => {
    const narrow = { float32: 24, bfloat16: 8, float16: 11 } as const;
    const dtypes = fc.constantFrom(...(Object.keys(narrow) as (keyof typeof narrow)[]));
    const halfway = fc
      .tuple(dtypes, fc.nat(), fc.integer({ min: -8, max: 4 }), fc.constantFrom('', '-'))
      .map(([dtype, step, power, sign]) => {
        const odd = 2 ** narrow[dtype] + 1 + 2 * (step % 2 ** (narrow[dtype] - 1));
        const [whole, fraction = ''] = exactDecimal(odd * 2 ** (power - 4)).split('.');
        return { dtype, sign, whole, fraction };
      });
    fc.assert(
      fc.property(halfway, fc.constantFrom('', '000', '00001', `${'0'.repeat(30)}1`), (point, tail) => {
        const { dtype, sign, whole, fraction } = point;
        const digits = (whole + fraction + tail).replace(/^0+/, '');
        const places = fraction.length + tail.length;
        const texts = [
          `${whole}.${fraction}0${tail}`,
          `${digits}e-${places}`,
          `${digits[0]}.${digits.slice(1)}0E${digits.length - 1 - places}`,
          `0.${digits}e${digits.length - places}`,
          `0.000${digits}e${digits.length - places + 3}`,
        ];
        expectNearest(
          texts.map((text) => sign + text),
          dtype,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test('any decimal, in every dtype', () => {
    const digits = (most: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${most}}$`));
    const number = fc
      .record({
        sign: fc.constantFrom('', '-'),
        whole: fc.oneof(fc.constant('0'), fc.stringMatching(/^[1-9][0-9]{0,24}$/)),
        fraction: fc.option(digits(30)),
        exponent: fc.option(fc.integer({ min: -60, max: 60 })),
        letter: fc.constantFrom('e', 'E'),
      })
      .map(({ sign, whole, fraction, exponent, letter }) => {
        const power = exponent === null ? '' : `${letter}${exponent}`;
        return `${sign}${whole}${fraction === null ? '' : `.${fraction}`}${power}`;
      });
    fc.assert(
      fc.property(
        fc.array(number, { maxLength: 8 }),
        fc.constantFrom(...Object.keys(FORMATS)),
        (texts, dtype) => {
          expectNearest(texts, dtype as NarrowDType);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('17 digits, as writers of float64 write them', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true })), (values) => {
        expectNearest(values.map(String), 'float32');
      }),
      { numRuns: 500 },
    );
  });

  test('a number a megabyte long costs time in proportion to its length', () => {
    const zeros = '0'.repeat(500_000);
    const halfway = exactDecimal(1 + 2 ** -24);
    const long = [
      `${halfway}${zeros}${zeros}1`,
      `0.${zeros}1e${zeros.length + 1}`,
      `1${zeros}.${zeros}e-${zeros.length}`,
      `0.${'3'.repeat(1_000_000)}`,
    ];
    const start = performance.now();
    const data = read(long, 'float32');
    expect(performance.now() - start).toBeLessThan(1000);
    expect(data).toEqual([1 + 2 ** -23, 1, 1, Math.fround(1 / 3)]);
  });
});
