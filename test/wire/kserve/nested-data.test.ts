import { afterEach, describe, expect, test, vi } from 'vitest';
import { codecAddon } from '../../../src/wire/native/addon.ts';
import { problemOf } from '../../support/problem.ts';
import { decode } from './helpers.ts';

const ROWS = 20_000;
const rows = (count: number, row = '[1.5]') => `[${new Array(count).fill(row).join(',')}]`;
const bodyOf = (shape: readonly number[], data: string, datatype = 'FP32', name = 'query') =>
  `{"inputs":[{"name":"${name}","shape":[${shape}],"datatype":"${datatype}","data":${data}}]}`;

describe('many short rows', () => {
  afterEach(() => vi.restoreAllMocks());

  /** How often the addon was gone to; it reads all rows in as many goes as its memory has to grow. */
  function goesOf(run: () => void): number {
    if (codecAddon === null) return 0;
    const spy = vi.spyOn(codecAddon, 'readElements');
    run();
    return spy.mock.calls.length;
  }

  test.each([
    ['FP32', '[1.5]', 1.5],
    ['FP64', '[1.5]', 1.5],
    ['INT32', '[-7]', -7],
    ['INT32', '[70e-1]', 7],
    ['INT64', '[-0]', 0],
  ])('are read at one go: %s %s', (datatype, row, value) => {
    const goes = goesOf(() => {
      const { query } = decode(bodyOf([ROWS, 1], rows(ROWS, row), datatype)).tensors;
      expect([...query.data]).toEqual(new Array(ROWS).fill(value));
      expect(query.shape).toEqual([ROWS, 1]);
    });
    expect(goes).toBeLessThan(10);
  });

  test.each([
    ['a fault', ROWS, rows(ROWS - 1).replace(/]$/, ',[true]]'), `/inputs/0/data/${ROWS - 1}/0`],
    [
      'no integer',
      ROWS,
      rows(ROWS - 1, '[1]').replace(/]$/, ',[0.5]]'),
      `/inputs/0/data/${ROWS - 1}/0`,
      'INT32',
    ],
    [
      'too large an integer',
      ROWS,
      rows(ROWS - 1, '[1]').replace(/]$/, ',[1e10]]'),
      `/inputs/0/data/${ROWS - 1}/0`,
      'INT32',
    ],
    ['a row too few', ROWS, rows(ROWS - 1), '/inputs/0/data'],
    ['a row too many', ROWS, rows(ROWS + 1), '/inputs/0/data'],
    ['longer rows', ROWS, rows(ROWS, '[1,2]'), '/inputs/0/data/0'],
  ])('with %s are refused without a go for each', (_what, count, data, pointer, datatype = 'FP32') => {
    const goes = goesOf(() => {
      const { code, errors } = problemOf(() => decode(bodyOf([count, 1], data, datatype)));
      expect([code, errors[0].pointer]).toEqual(['invalid_tensor', pointer]);
    });
    expect(goes).toBeLessThan(10);
  });
});

describe('nested data', () => {
  test.each([
    ['true and false', [2, 2], '[[true,false],[false,true]]', 'BOOL', 'allow_mask', [1, 0, 0, 1]],
    ['0 and 1', [2, 2], '[[1,0],[0,1]]', 'BOOL', 'allow_mask', [1, 0, 0, 1]],
    ['both', [2, 2], '[[true,0],[false,1]]', 'BOOL', 'allow_mask', [1, 0, 0, 1]],
    ['integers', [2, 1], '[[-8],[7]]', 'INT8', 'query', [-8, 7]],
    ['four levels', [1, 2, 1, 2], '[[[[1,2]],[[3,4]]]]', 'FP32', 'query', [1, 2, 3, 4]],
    ['whitespace', [2, 1], ' [ [ 1 ] ,\n[2]\t]', 'FP64', 'query', [1, 2]],
    ['rows of nothing', [2, 0], '[[],[]]', 'FP32', 'query', []],
    ['nothing of rows', [1, 0, 3], '[[]]', 'FP32', 'query', []],
  ] as const)('of %s', (_what, shape, data, datatype, name, expected) => {
    const tensor = decode(bodyOf(shape, data, datatype, name)).tensors[name];
    expect(tensor.shape).toEqual(shape);
    expect([...tensor.data]).toEqual(expected);
  });

  test.each([
    ['another shape of the same size', [2, 3], '[[1,2],[3,4],[5,6]]', '/inputs/0/data/0', /3 entries.*got 2/],
    ['another rank', [2, 1], '[[[1]],[[2]]]', '/inputs/0/data/0/0', /got an array/],
    ['a lower rank', [2, 1, 1], '[[1],[2]]', '/inputs/0/data/0/0', /an array.*got 1/],
  ])('of %s is refused', (_what, shape, data, pointer, words) => {
    const { code, message, errors } = problemOf(() => decode(bodyOf(shape, data)));
    expect([code, errors[0].pointer]).toEqual(['invalid_tensor', pointer]);
    expect(message).toMatch(words);
  });
});
