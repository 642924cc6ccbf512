import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KERNELS } from '../../src/kernels/registry.ts';
import { type Service, startService } from '../support/service.ts';
import type { Family } from './adapter.ts';
import { type ConformanceCase, casesOf, conformanceFolder } from './cases.ts';
import { difference } from './compare.ts';
import { json, OTHER_FORMATS } from './formats.ts';
import { onnxAttention } from './onnx-attention.ts';
import { onnxRotaryEmbedding } from './onnx-rotary-embedding.ts';
import { ortContrib } from './ort-contrib.ts';
import { torchMha } from './torch-mha.ts';
import { torchSdpa } from './torch-sdpa.ts';

/*
 * Every case of every family, over HTTP: in JSON by every kernel that this machine runs, in the kernel's precision, and in
 * every other format by the preferred kernel of each precision. The cases hold an implementation to float32; what bfloat16
 * owes, test/kernels says.
 */

const FAMILIES: readonly Family[] = [onnxAttention, onnxRotaryEmbedding, ortContrib, torchMha, torchSdpa];
const passed = new Map<string, string[]>(FAMILIES.map(({ name }) => [name, []]));
afterAll(() => {
  for (const [family, counts] of passed) console.log(`${family}: ${counts.join(', ')}`);
  console.log(`of ${conformanceFolder()}`);
});

const EXACT_KERNELS = KERNELS.flatMap(({ name, precision }) =>
  precision === 'bfloat16' ? [] : [{ name, precision }],
);

const PREFERRED = ['float32', 'float64'].map(
  (precision) => EXACT_KERNELS.find((kernel) => kernel.precision === precision)!,
);

const RUNS = [
  ...EXACT_KERNELS.map((kernel) => ({ ...kernel, format: json })),
  ...OTHER_FORMATS.flatMap((format) => PREFERRED.map((kernel) => ({ ...kernel, format }))),
];

describe.each(RUNS)('$name in $format.name', ({ name: kernel, precision, format }) => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ KERNEL: kernel });
  });
  afterAll(() => service.close());

  async function hold(family: Family, given: ConformanceCase): Promise<void> {
    for (const { path, body, expectations } of family.exchanges(given, precision)) {
      const request = format.request(path, { ...body, precision }, precision);
      const answer = await service.send(request);
      const problem = answer.status === 200 ? null : answer.body.toString();
      expect({ status: answer.status, problem }).toEqual({ status: 200, problem: null });
      const results = format.results(answer);
      // Gradients are computed by the first kernel that has them.
      if (results.grad_query === undefined) expect(results.applied.kernel).toBe(kernel);
      const wrong = expectations.map((expectation) =>
        difference(results[expectation.result], precision, expectation),
      );
      expect(wrong.filter((message) => message !== null)).toEqual([]);
    }
  }

  for (const family of FAMILIES) {
    describe(family.name, () => {
      let count = 0;
      afterAll(() =>
        passed.get(family.name)!.push(`${count} cases ${precision} (${kernel}, ${format.name})`),
      );

      it.each(casesOf(family.name).map((given) => [given.name, given] as const))(
        '%s',
        async (_name, given) => {
          await hold(family, given);
          count++;
        },
      );
    });
  }
});
