import { describe, expect, test } from 'vitest';
import { decode, decodeOnce, plain, refused } from './helpers.ts';

function malformed(body: string | Uint8Array, pointer: string, detail: string | RegExp): void {
  refused(() => decode(body), 'malformed_body', pointer, detail);
}

describe('what is not a tensor', () => {
  test.each([
    '{}',
    ' \t\r\n{ } \n',
    '{"a":null,"b":true,"c":false,"d":"","e":[],"f":{}}',
    '{"a":[1,-0,1.5e3,[[[]]],{"query":[1]}],"scale":1e-3}',
    '{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\ud800","é":"ü😀\u2028\ufeff"}',
    '{"a":{"query":[1],"b":{"projections":{"w_q":[2]}}},"w_q":"x"}',
    '{"a":1,"a":{"b":2},"a":[3]}',
    '{"":{"":{"":0}}}',
    '{"projections.w_q":[1,"x"],"rope.positions":5}',
    '{"projections":[{"w_q":"x"}],"rope":7}',
    '{"toString":1,"hasOwnProperty":2,"valueOf":{"__defineGetter__":3}}',
  ])('%s is what JSON.parse makes of it', (text) => {
    const { envelope, tensors } = decode(text);
    expect(envelope).toEqual(JSON.parse(text));
    expect(JSON.stringify(envelope)).toBe(JSON.stringify(JSON.parse(text)));
    expect(tensors).toEqual({});
  });

  test('tensors are cut out of it', () => {
    const { envelope, tensors } = decode(
      '{"heads":2,"query":[[1]],"projections":{"w_q":[2],"packed_order":"qkv"},"rope":{"positions":[3]},"scale":null}',
    );
    expect(envelope).toEqual({ heads: 2, projections: { packed_order: 'qkv' }, rope: {}, scale: null });
    expect(Object.keys(tensors)).toEqual(['query', 'projections.w_q', 'rope.positions']);
    expect(plain(tensors['projections.w_q'])).toEqual({ shape: [1], data: [2] });
  });

  test('may lie on shared memory, at an offset', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(64), 7, 40);
    shared.fill(0x20);
    shared.set(Buffer.from('{"a":"é","query":[0.12345678,2]}'));
    const { envelope, tensors } = decode(shared);
    expect(envelope).toEqual({ a: 'é' });
    expect([...tensors.query.data]).toEqual([Math.fround(0.12345678), 2]);
  });
});

describe('a member given twice', () => {
  test('the last tensor counts', () => {
    expect([...decode('{"query":[1],"query":[2]}').tensors.query.data]).toEqual([2]);
    expect([...decode('{"query":[1],"\\u0071uery":[[2]]}').tensors.query.data]).toEqual([2]);
  });

  test('but not thousands of times, each with memory of its own', () => {
    const body = (count: number) => `{${Array(count).fill('"query":[]').join(',')}}`;
    expect(decode(body(1000)).tensors.query.shape).toEqual([0]);
    malformed(body(1001), '/query', 'Expected at most 1000 tensors in a body');
  });

  test('the last object counts, and none of the tensors of the first', () => {
    const { envelope, tensors } = decode('{"projections":{"w_q":[1]},"projections":{"b_q":2}}');
    expect([envelope, tensors]).toEqual([{ projections: { b_q: 2 } }, {}]);
    expect(decode('{"projections":{"w_q":[1]},"projections":0}').envelope).toEqual({ projections: 0 });
    const last = decode('{"projections":0,"projections":{"w_q":[1]},"projections":{"w_q":[2]}}');
    expect([...last.tensors['projections.w_q'].data]).toEqual([2]);
  });
});

describe('what is not JSON', () => {
  test('is refused with what was expected, and where', () => {
    malformed('', '', 'Expected a JSON object; got the end of the body');
    malformed('  ', '', 'Expected a JSON object');
    malformed('[1]', '', "Expected a JSON object; got '[' at byte 0");
    malformed('"query"', '', 'Expected a JSON object');
    malformed('\ufeff{}', '', 'got a byte order mark at byte 0');
    malformed(
      '{"a":1',
      '',
      "Expected the body to end with the closing brace of its object; got '1' at byte 5",
    );
    malformed('{"a":1} x', '', "closing brace of its object; got 'x'");
    malformed('{"a":1}}', '', "Expected nothing after the closing brace; got '}' at byte 7");
    malformed('{"a":1}{}', '', 'Expected nothing after the closing brace');
    malformed('{"a":{}', '', "Expected ',' or '}' after a member; got the end of the body");
    malformed('{"a":{"b":[1,}}', '/a/b/1', "Expected a JSON value; got '}'");
    malformed('{a:1}', '', 'name of a member, in double quotes');
    malformed("{'a':1}", '', 'in double quotes');
    malformed('{"a":1,}', '', 'name of a member');
    malformed('{"a" 1}', '/a', "Expected ':'");
    malformed('{"a":}', '/a', 'Expected a JSON value');
    malformed('{"a":1 "b":2}', '', "',' or '}'");
    malformed('{"a":[1 2]}', '/a', "',' or ']'");
    malformed('{"a":[1,]}', '/a/1', 'Expected a JSON value');
    malformed('{"a":[1}', '/a', "',' or ']'");
    malformed('{"a":/**/1}', '/a', 'Expected a JSON value');
  });

  test.each([
    '01',
    '+1',
    '.5',
    '1.',
    '1e',
    '-',
    '0x1',
    'NaN',
    'Infinity',
    '-Infinity',
    'tru',
    'True',
    'nulL',
    'undefined',
    '1a',
    "'x'",
  ])('%s as a value', (text) => {
    expect(() => JSON.parse(text)).toThrow();
    refused(() => decode(`{"a":${text}}`), 'malformed_body', /^(\/a)?$/, 'Expected');
    refused(() => decode(`{"a":[${text}]}`), 'malformed_body', /^\/a/, 'Expected');
  });

  test('strings', () => {
    malformed('{"a":"x}', '/a', 'closing quote of a string; got the end of the body');
    malformed('{"a":"x\\"}', '/a', 'closing quote');
    malformed('{"a":"\n"}', '/a', 'no control character in a string; got byte 0x0a at byte 6');
    malformed('{"a":"\\x41"}', '/a', 'after a backslash');
    malformed('{"a":"\\u12g4"}', '/a', 'four hexadecimal digits');
    malformed('{"a":"\\u12"}', '/a', 'four hexadecimal digits');
    malformed('{"a\t":1}', '', 'control character');
  });

  test('bytes that are not UTF-8', () => {
    const ascii = Buffer.from('{"a":{"b":"xyz"}}');
    for (const bad of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80], [0xe2, 0x82]]) {
      const body = Uint8Array.from(ascii);
      body.set(bad, 11);
      malformed(body, '/a/b', 'Expected UTF-8; got other bytes in the string from byte 10 to byte 15');
    }
    const name = Uint8Array.from(ascii);
    name[7] = 0xff;
    malformed(name, '/a', 'Expected UTF-8');
    const outside = Uint8Array.from(ascii);
    outside[1] = 0xc3;
    malformed(outside, '', 'got byte 0xc3');
  });
});

describe('names that reach a prototype', () => {
  test.each(['__proto__', 'constructor', 'prototype', '__pro\\u0074o__', '\\u005f_proto__'])(
    '%s is refused',
    (name) => {
      const read = JSON.parse(`"${name}"`);
      malformed(`{"${name}":{"heads":1}}`, `/${read}`, 'Expected the name of a field');
      malformed(`{"a":{"b":[0,{"${name}":1}]}}`, `/a/b/1/${read}`, 'name of a field');
      malformed(`{"projections":{"${name}":[1]}}`, `/projections/${read}`, 'name of a field');
    },
  );

  test('are fine as values', () => {
    expect(decode('{"a":["__proto__"],"b":"constructor"}').envelope).toEqual({
      a: ['__proto__'],
      b: 'constructor',
    });
  });
});

describe('nesting', () => {
  test('down to the limit, and no deeper', () => {
    const nested = (levels: number) => `{"a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
    expect(decode(nested(32)).envelope).toEqual(JSON.parse(nested(32)));
    malformed(nested(33), '/a/0', 'Expected at most 32 levels of nesting');
    const objects = (levels: number) => `${'{"a":'.repeat(levels)}0${'}'.repeat(levels)}`;
    expect(decode(objects(32)).envelope).toEqual(JSON.parse(objects(32)));
    malformed(objects(33), '/a/a', 'Expected at most 32 levels of nesting');
  });

  test('800 KB of brackets are refused at once', () => {
    const brackets = '['.repeat(800_000);
    for (const body of [
      brackets,
      `{"a":${brackets}`,
      `{"a":${brackets}}`,
      `{"query":${brackets}}`,
      `{"a":{"b":${brackets}}}`,
    ]) {
      const bytes = Buffer.from(body);
      // The best of three: the machine may be busy with something else.
      const times = [1, 2, 3].map(() => {
        const start = performance.now();
        refused(() => decodeOnce(bytes), 'malformed_body', /^/, 'Expected');
        return performance.now() - start;
      });
      expect(Math.min(...times)).toBeLessThan(10);
    }
  });
});

describe('a name longer than any field has', () => {
  test.each([
    ['letters', 'x'],
    ['escapes', '\\u0041'],
    ['other than ASCII', 'é'],
  ])('of %s is refused before it is read', (_what, letter) => {
    const name = letter.repeat(Math.ceil(257 / Buffer.byteLength(letter)));
    const detail = 'Expected the name of a field; got one of more than 256 bytes at byte';
    // The quote that is to end it is not even looked for.
    refused(() => decode(`{"${name}}`), 'invalid_request', '', detail);
    refused(() => decode(`{"projections":{"${name}":1}}`), 'invalid_request', '/projections', detail);
    refused(() => decode(`{"query":{"${name}":1}}`), 'invalid_request', '/query', detail);
  });

  test('of 256 bytes is a name', () => {
    const name = 'x'.repeat(256);
    expect(decode(`{"${name}":1}`).envelope).toEqual({ [name]: 1 });
  });
});

describe('an envelope above the limit', () => {
  const limits = { envelopeBytes: 1000 };
  const large = (body: string, pointer: string | RegExp, detail: RegExp) =>
    refused(() => decode(body, limits), 'invalid_request', pointer, detail);
  const numbers = `[${'0.5,'.repeat(500)}1]`;

  test('names the field', () => {
    large(
      `{"heads":1,"embeddings":${numbers},"query":[1]}`,
      '/embeddings',
      /at most 1000 bytes besides the tensors.*not one of its tensors/,
    );
    large(`{"projections":{"w_x":[${numbers}]}}`, '/projections/w_x', /at most 1000 bytes/);
    large(`{"a":[{"b":${numbers}}]}`, '/a', /at most 1000 bytes/);
    large(`{"tokens":"${'x'.repeat(990)}","b":1}`, '/tokens', /at least 992 bytes/);
    large(`{"a":"${'x'.repeat(800)}","b":"${'x'.repeat(300)}"}`, '/a', /at least 802 bytes/);
    const name = 'x'.repeat(250);
    large(`{"${name}a":1,"${name}b":1,"${name}c":2,"${name}d":3}`, /^\/x{128}…$/, /at most 1000 bytes/);
    large(`{${' '.repeat(1000)}}`, '', /at most 1000 bytes/);
  });

  test('stops there, whatever follows', () => {
    large(`{"a":${numbers},"b":nonsense}`, '/a', /at most/);
  });

  test('does not count tensors, and counts the rest exactly', () => {
    const rest = `{"query":,"a":"${'x'.repeat(1000 - 17)}"}`;
    expect(rest.length).toBe(1000);
    expect(decode(rest.replace(':,', `:${numbers},`), limits).tensors.query.shape).toEqual([501]);
    large(rest.replace(':,', `:${numbers} ,`), '/a', /at most/);
  });
});
