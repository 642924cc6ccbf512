/*
 * Compiles src/kernels/wasm/assembly (AssemblyScript) into src/kernels/wasm/compiled. The modules are committed: they
 * are small and the same on every machine, while their compiler is larger than all that the service needs to run. So
 * they are there wherever the sources are, and a test compiles them again and compares.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main as compile } from 'assemblyscript/asc';
import { VARIANTS, type Variant } from '../src/kernels/wasm/module.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Options by which one source becomes each variant. */
const FEATURES: Readonly<Record<Variant, readonly string[]>> = {
  relaxed: ['--enable', 'simd', '--enable', 'relaxed-simd'],
  simd: ['--enable', 'simd'],
};
const OPTIONS = ['-O3', '--runtime', 'stub', '--noAssert', '--use', 'abort=', '--baseDir', root];

export async function compileWasm(variant: Variant): Promise<Uint8Array> {
  let module: Uint8Array | undefined;
  const options = [...OPTIONS, ...FEATURES[variant], '--outFile', `${variant}.wasm`];
  const { error, stderr } = await compile(['src/kernels/wasm/assembly/index.ts', ...options], {
    writeFile: (_name, contents) => {
      if (typeof contents !== 'string') module = contents;
    },
  });
  if (error !== null || module === undefined) throw new Error(`${error?.message}\n${stderr}`);
  return module;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = join(root, 'src/kernels/wasm/compiled');
  mkdirSync(folder, { recursive: true });
  for (const variant of VARIANTS) {
    const module = await compileWasm(variant);
    writeFileSync(join(folder, `${variant}.wasm`), module);
    console.log(`${variant}.wasm: ${module.length} bytes`);
  }
}
