import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { MissingPackage } from '../../examples/pretrained/optional-package.ts';
import { loadFirstLayer } from '../../examples/pretrained/sentence-encoder.ts';
import { put } from '../http/layers/support.ts';
import { listen, post } from '../http/support.ts';

const run = promisify(execFile);

const layer = await loadFirstLayer().catch((error: unknown) => {
  if (error instanceof MissingPackage) return error;
  throw error;
});
if (layer instanceof MissingPackage)
  console.warn(`SKIPPED test/examples/export-layer.test.ts. ${layer.message}`);

it.skipIf(layer instanceof MissingPackage)(
  'a layer of a pretrained model is registered by one request',
  async () => {
    if (layer instanceof MissingPackage) return;
    const folder = await mkdtemp(join(tmpdir(), 'export-'));
    const service = await listen();
    try {
      const path = join(folder, 'layer.safetensors');
      const { stdout } = await run(process.execPath, ['examples/export-layer.ts', path]);
      expect(stdout).toContain('4 heads');
      const made = await put(`${service.url}/v1/layers/use-lite?heads=4`, await readFile(path));
      expect(made.json.tensors.w_qkv).toEqual({ dtype: 'float32', shape: [256, 768] });
      const { ids } = layer.tokenize('I went to the bank to deposit money');
      const { shape, data } = layer.normalize(layer.embed(ids));
      const embeddings = { shape, data: Array.from(data) };
      const call = { embeddings, return: { weights: { heads: [0], queries: [4] } } };
      const { json } = await post(`${service.url}/v1/layers/use-lite/attention`, call);
      // Measured with another implementation of the model.
      const expected = [0.0536, 0.1166, 0.1293, 0.2885, 0.2755, 0.0741, 0.053, 0.0093];
      expect(json.weights[0][0].map((weight: number) => Number(weight.toFixed(4)))).toEqual(expected);
    } finally {
      await service.close();
      await rm(folder, { recursive: true });
    }
  },
);
