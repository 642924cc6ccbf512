import { inGroups } from '../../../src/kernels/in-groups.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { KERNELS } from '../../../src/kernels/registry.ts';
import { contract } from './contract.ts';

// Batches that fit in the caches are not cut into groups of samples: here every batch is, to single samples. One kernel of
// each kind, and bfloat16 besides, whose weights are packed in a form of its own.
const KINDS = [/^native-(?!.*bf)/, /^native-.*bf/, /^wasm/, /^reference/];

for (const kind of KINDS) {
  const kernel = KERNELS.find(({ name }) => kind.test(name));
  if (kernel !== undefined) contract(sampleBySample(kernel));
}

function sampleBySample(kernel: Kernel): Kernel {
  return inGroups({ ...kernel, name: `${kernel.name}, sample by sample` }, { rows: 1, cacheBytes: 0 });
}
