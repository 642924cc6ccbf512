import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Service, startService } from '../support/service.ts';
import type { Family, Precision } from './adapter.ts';
import { casesOf, conformanceFolder } from './cases.ts';
import { difference } from './compare.ts';
import { onnxAttention } from './onnx-attention.ts';
import { onnxRotaryEmbedding } from './onnx-rotary-embedding.ts';
import { ortContrib } from './ort-contrib.ts';
import { torchMha } from './torch-mha.ts';
import { torchSdpa } from './torch-sdpa.ts';

const FAMILIES: readonly Family[] = [onnxAttention, onnxRotaryEmbedding, ortContrib, torchMha, torchSdpa];
/** The two precisions take the two encodings, so that both are held to the same numbers. */
const ENCODING = { float32: 'nested', float64: 'base64' } as const;
const PRECISIONS: readonly Precision[] = ['float32', 'float64'];

let service: Service;
const passed = new Map<string, Record<Precision, number>>();

beforeAll(async () => {
  service = await startService();
});

afterAll(async () => {
  await service.close();
  for (const [family, counts] of passed)
    console.log(`${family}: ${counts.float32} cases float32, ${counts.float64} float64`);
  console.log(`of ${conformanceFolder()}`);
});

for (const family of FAMILIES) {
  const counts = { float32: 0, float64: 0 };
  passed.set(family.name, counts);

  describe.each(PRECISIONS)(`${family.name} in %s`, (precision) => {
    it.each(casesOf(family.name).map((given) => [given.name, given] as const))('%s', async (_name, given) => {
      for (const { path, body, expectations } of family.exchanges(given, precision)) {
        const request = { ...body, precision, response: { encoding: ENCODING[precision] } };
        const { status, json } = await service.post(path, request);
        expect({ status, problem: status === 200 ? null : json }).toEqual({ status: 200, problem: null });
        const wrong = expectations.map((expectation) =>
          difference(json[expectation.result], precision, expectation),
        );
        expect(wrong.filter((message) => message !== null)).toEqual([]);
      }
      counts[precision]++;
    });
  });
}
