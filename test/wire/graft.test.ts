import { expect, test } from 'vitest';
import type { Problem } from '../../src/domain/problem.ts';
import type { Tensor } from '../../src/domain/tensor.ts';
import { graft } from '../../src/wire/graft.ts';

const tensor: Tensor = { dtype: 'float32', shape: [1], data: Float32Array.of(1) };

function faultOf(envelope: Record<string, unknown>, path: string): [string, string] {
  try {
    graft(envelope, { [path]: tensor });
  } catch (error) {
    const problem = error as Problem;
    return [problem.code, problem.errors[0].pointer];
  }
  throw new Error('was not refused');
}

test('puts tensors at their paths, beside what is there', () => {
  const envelope = { heads: 2, projections: { packed_order: 'qkv' } };
  const body = graft(envelope, { query: tensor, 'projections.w_q': tensor, 'rope.table.cos': tensor });
  expect(body).toBe(envelope);
  expect(body).toEqual({
    heads: 2,
    projections: { packed_order: 'qkv', w_q: tensor },
    query: tensor,
    rope: { table: { cos: tensor } },
  });
  expect(body.query).toBe(tensor);
});

test('follows own properties only', () => {
  const body = graft({}, { 'toString.valueOf': tensor });
  expect(Object.hasOwn(body, 'toString')).toBe(true);
  expect(Object.getOwnPropertyNames(body.toString)).toEqual(['valueOf']);
  expect(Object.prototype.toString.valueOf).not.toBe(tensor);
});

test.each(['__proto__', '__proto__.query', 'a.__proto__.b', 'constructor.prototype.x', 'a.prototype'])(
  'refuses %s',
  (path) => {
    expect(faultOf({}, path)[0]).toBe('malformed_body');
    expect(({} as Record<string, unknown>).query).toBeUndefined();
  },
);

test('refuses to overwrite, or to go through what is no object', () => {
  expect(faultOf({ query: null }, 'query')).toEqual(['invalid_request', '/query']);
  for (const projections of [5, null, [], 'w_q']) {
    expect(faultOf({ projections }, 'projections.w_q')).toEqual(['invalid_request', '/projections']);
  }
});
