import { describe, expect, test } from 'vitest';
import { FORMATS, formatForAccept, formatForContentType, formatNamed } from '../../src/wire/registry.ts';
import { problemOf } from '../support/problem.ts';

test('names and media types are unique, and every format does something', () => {
  expect(new Set(FORMATS.map(({ name }) => name)).size).toBe(FORMATS.length);
  expect(new Set(FORMATS.map(({ mediaType }) => mediaType)).size).toBe(FORMATS.length);
  for (const format of FORMATS) {
    expect(formatNamed(format.name)).toBe(format);
    expect('decode' in format || 'encode' in format).toBe(true);
  }
  expect(() => formatNamed('xml')).toThrow('There is no wire format xml');
});

describe('Content-Type', () => {
  test.each([
    'application/json',
    'APPLICATION/json',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
  ])('%s is read', (contentType) => expect(formatForContentType(contentType).name).toBe('json'));

  test.each([
    'application/vnd.api+json',
    'application/jsonx',
    'text/json',
    'application/x-www-form-urlencoded',
    'nonsense',
    undefined,
  ])('%s is a 415 that names what is supported', (contentType) => {
    const problem = problemOf(() => formatForContentType(contentType));
    expect([problem.code, problem.status]).toEqual(['unsupported_media_type', 415]);
    expect(problem.message).toMatch('Expected a body of application/json');
    expect(problem.message).toMatch(contentType ?? 'no Content-Type');
  });

  test('is cut in the refusal where it is long', () => {
    for (const start of ['text/', 'application/json; charset=']) {
      const { message } = problemOf(() => formatForContentType(start + 'x'.repeat(14_000)));
      expect(message).toMatch(/x…\.$/);
      expect(message.length).toBeLessThan(250);
    }
  });

  test('another charset is a 415', () => {
    const problem = problemOf(() => formatForContentType('application/json; charset=latin1'));
    expect(problem.status).toBe(415);
    expect(problem.message).toBe('Expected application/json in UTF-8; got charset latin1.');
  });
});

describe('Accept', () => {
  test.each([undefined, '*/*', 'application/*;q=0.1', 'text/html, application/json;q=0.5'])(
    '%s gets JSON',
    (accept) => {
      expect(formatForAccept(accept).name).toBe('json');
    },
  );

  test.each(['text/html', 'application/json;q=0', 'application/vnd.api+json'])(
    '%s is a 406 that names what is supported',
    (accept) => {
      const problem = problemOf(() => formatForAccept(accept));
      expect([problem.code, problem.status]).toEqual(['not_acceptable', 406]);
      expect(problem.message).toMatch('application/json');
      expect(problem.message).toMatch(accept);
    },
  );

  test('is cut in the refusal where it is long', () => {
    const { message } = problemOf(() => formatForAccept(`text/${'x'.repeat(14_000)}`));
    expect(message).toMatch(/x…\.$/);
    expect(message.length).toBeLessThan(300);
  });
});
