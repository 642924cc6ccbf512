import { describe, expect, test } from 'vitest';
import { negotiate, parseMediaType } from '../../src/wire/media-type.ts';

describe('parseMediaType', () => {
  test('reads type and parameters, whatever their case', () => {
    const parsed = parseMediaType('Application/JSON; Charset=utf-8 ;q="a;\\"b"');
    expect(parsed?.essence).toBe('application/json');
    expect([...(parsed?.parameters ?? [])]).toEqual([
      ['charset', 'utf-8'],
      ['q', 'a;"b'],
    ]);
  });

  test.each([
    '',
    'json',
    'application/',
    '/json',
    'application json/x',
    'a/b; c',
    'a/b; c=',
    'a/b/c',
    'a/b; c="d',
  ])('refuses %j', (text) => expect(parseMediaType(text)).toBeUndefined());
});

describe('negotiate', () => {
  const available = ['application/json', 'image/png', 'image/svg+xml'];
  test.each([
    [undefined, 'application/json'],
    ['', 'application/json'],
    ['*/*', 'application/json'],
    ['image/*', 'image/png'],
    ['image/svg+xml', 'image/svg+xml'],
    ['IMAGE/PNG', 'image/png'],
    ['application/json;q=0.5, image/png;q=0.9', 'image/png'],
    ['application/json;q=0.9, image/png;q=0.9', 'application/json'],
    ['application/json; charset=utf-8; q=0.4, image/*;q=0.3', 'application/json'],
    ['text/html, */*;q=0.1', 'application/json'],
    ['*/*, application/json;q=0', 'image/png'],
    ['image/*, image/png;q=0', 'image/svg+xml'],
    ['image/png;q=0.2, image/*;q=0.1, */*;q=0.15', 'image/png'],
    ['text/html', undefined],
    ['*/*;q=0', undefined],
    ['application/*+json', undefined],
    ['nonsense, image/png', 'image/png'],
    ['application/json;q=2, image/png;q=0.1', 'image/png'],
    ['nonsense', undefined],
  ])('%s gives %s', (accept, expected) => {
    expect(negotiate(accept, available)).toBe(expected);
  });
});
