import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KERNELS } from '../../src/kernels/registry.ts';
import { type Service, startService } from '../support/service.ts';
import type { Family } from './adapter.ts';
import { type ConformanceCase, casesOf, conformanceFolder } from './cases.ts';
import { difference } from './compare.ts';
import { onnxAttention } from './onnx-attention.ts';
import { onnxRotaryEmbedding } from './onnx-rotary-embedding.ts';
import { ortContrib } from './ort-contrib.ts';
import { torchMha } from './torch-mha.ts';
import { torchSdpa } from './torch-sdpa.ts';

/*
 * Every case of every family, over HTTP, by every kernel that this machine runs, in the kernel's precision. The cases hold
 * an implementation to float32; what bfloat16 owes, test/kernels says.
 */

const FAMILIES: readonly Family[] = [onnxAttention, onnxRotaryEmbedding, ortContrib, torchMha, torchSdpa];
/** The two precisions take the two encodings, so that both are held to the same numbers. */
const ENCODING = { float32: 'nested', float64: 'base64' } as const;

const passed = new Map<string, string[]>(FAMILIES.map(({ name }) => [name, []]));
afterAll(() => {
  for (const [family, counts] of passed) console.log(`${family}: ${counts.join(', ')}`);
  console.log(`of ${conformanceFolder()}`);
});

const EXACT_KERNELS = KERNELS.flatMap(({ name, precision }) =>
  precision === 'bfloat16' ? [] : [{ name, precision }],
);

describe.each(EXACT_KERNELS)('$name', ({ name: kernel, precision }) => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ KERNEL: kernel });
  });
  afterAll(() => service.close());

  async function hold(family: Family, given: ConformanceCase): Promise<void> {
    for (const { path, body, expectations } of family.exchanges(given, precision)) {
      const request = { ...body, precision, response: { encoding: ENCODING[precision] } };
      const { status, json } = await service.post(path, request);
      expect({ status, problem: status === 200 ? null : json }).toEqual({ status: 200, problem: null });
      // Gradients are computed by the first kernel that has them.
      if (json.grad_query === undefined) expect(json.applied.kernel).toBe(kernel);
      const wrong = expectations.map((expectation) =>
        difference(json[expectation.result], precision, expectation),
      );
      expect(wrong.filter((message) => message !== null)).toEqual([]);
    }
  }

  for (const family of FAMILIES) {
    describe(family.name, () => {
      let count = 0;
      afterAll(() => passed.get(family.name)!.push(`${count} cases ${precision} (${kernel})`));

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
