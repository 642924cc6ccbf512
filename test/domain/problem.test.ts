import { describe, expect, test } from 'vitest';
import { MOST_FAULTS, Problem, pointerToken, problemAt } from '../../src/domain/problem.ts';
import { cut, quoted } from '../../src/domain/quoted.ts';

describe('a text that a message repeats', () => {
  test('is whole where it is short', () => {
    expect(cut('a'.repeat(96))).toBe('a'.repeat(96));
    expect(quoted('say "a"')).toBe('"say \\"a\\""');
  });

  test('is cut where it is long', () => {
    expect(cut('a'.repeat(97))).toBe(`${'a'.repeat(96)}…`);
    expect(quoted('"'.repeat(1e6))).toBe(`"${'\\"'.repeat(96)}…"`);
  });

  test('is not cut within a character', () => {
    expect(cut('a𝛼b', 2)).toBe('a…');
    expect(cut('a𝛼b', 3)).toBe('a𝛼…');
  });
});

describe('a part of a pointer', () => {
  test('is escaped', () => {
    expect(pointerToken('a/b~c')).toBe('a~1b~0c');
    expect(pointerToken(12)).toBe('12');
  });

  test('is cut before it is escaped', () => {
    expect(pointerToken('/'.repeat(1e6))).toBe(`${'~1'.repeat(128)}…`);
  });
});

describe('a problem', () => {
  const long = 'x'.repeat(1e6);

  test('is as it was said', () => {
    const problem = problemAt('shape_mismatch', '/key', 'Expected [2]; got [3]');
    expect(problem.message).toBe('/key: Expected [2]; got [3]');
    expect(problem.errors).toEqual([{ pointer: '/key', detail: 'Expected [2]; got [3]' }]);
  });

  test('is bounded, whatever is said', () => {
    const faults = new Array(1e5).fill({ pointer: `/${long}`, detail: long });
    const problem = new Problem('invalid_request', long, faults);
    expect(problem.errors).toHaveLength(MOST_FAULTS);
    expect(JSON.stringify(problem.toData()).length).toBeLessThan(50_000);
    expect(problem.stack?.length).toBeLessThan(5000);
  });

  test('is the same in another thread', () => {
    const problem = new Problem('invalid_request', long, [{ pointer: `/${long}`, detail: long }], 2);
    expect(Problem.from(problem.toData()).toData()).toEqual(problem.toData());
  });
});
