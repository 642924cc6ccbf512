import { expect, test, vi } from 'vitest';
import { remembering } from '../../src/domain/remembering.ts';

test('the same text is read once, and gives the same again', () => {
  const read = vi.fn((text: string) => ({ text }));
  const remember = remembering(read);
  const [first] = [remember('a'), remember('b')];
  expect(remember('a')).toBe(first);
  expect(first).toEqual({ text: 'a' });
  expect(read.mock.calls).toEqual([['a'], ['b']]);
});

test('what it makes nothing of, throws at, or is long is read each time', () => {
  const read = vi.fn((text: string) => {
    if (text === 'bad') throw new RangeError(text);
    return text === '' ? undefined : text.length;
  });
  const remember = remembering(read);
  const long = 'x'.repeat(257);
  for (let turn = 1; turn <= 3; turn++) {
    expect(remember('')).toBeUndefined();
    expect(remember(long)).toBe(257);
    expect(() => remember('bad')).toThrow(RangeError);
    expect(read).toHaveBeenCalledTimes(3 * turn);
  }
});

test('many texts are forgotten, the oldest first', () => {
  const read = vi.fn((text: string) => ({ text }));
  const remember = remembering(read);
  for (let index = 0; index < 10_000; index++) remember(String(index));
  read.mockClear();
  expect(remember('9999')).toEqual({ text: '9999' });
  expect(read).not.toHaveBeenCalled();
  expect(remember('0')).toEqual({ text: '0' });
  expect(read).toHaveBeenCalledOnce();
});
