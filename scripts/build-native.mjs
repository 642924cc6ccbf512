// Compiles the native kernels into build/attention.node, where there is a C++ compiler. Run by `npm ci` on whatever
// Node.js is there, so this file is plain JavaScript. Without a compiler, or when anything fails, the service runs on
// WebAssembly: this script says so in one line and succeeds.
import { execFile } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const sources = join(root, 'src/kernels/native/addon');

const AVX512 = ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma'];

/** Sources that are compiled for an instruction set, each with its options; the widest set last. */
const INSTRUCTION_SETS = {
  x64: {
    kernels_avx2: ['-mavx2', '-mfma'],
    kernels_avx512: AVX512,
    operands_avx512bf16: [...AVX512, '-mavx512bf16'],
  },
  arm64: { kernels_neon: [] },
};

// Sums are chains of explicit multiply-adds: the compiler is to contract nothing by itself.
const OPTIONS = ['-std=c++17', '-O3', '-fPIC', '-fvisibility=hidden', '-fno-math-errno', '-ffp-contract=off'];

async function findCompiler() {
  for (const compiler of [process.env.CXX, 'g++', 'clang++', 'c++']) {
    if (!compiler) continue;
    try {
      await run(compiler, ['--version']);
      return compiler;
    } catch {
      // the next one
    }
  }
  throw new Error('there is no C++ compiler (g++, clang++ or $CXX)');
}

/** Compiles and links into `output`; `extra` options go to every step (sanitizers). */
export async function buildNative(output, extra = []) {
  const sets = INSTRUCTION_SETS[process.arch];
  if (sets === undefined) throw new Error(`there are no kernels for ${process.arch}`);
  const compiler = await findCompiler();
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  const work = `${output}.objects`;
  mkdirSync(work, { recursive: true });
  const compile = async (name, options) => {
    const object = join(work, `${name}.o`);
    await run(compiler, [
      ...OPTIONS,
      ...options,
      ...extra,
      `-I${headers}`,
      '-c',
      join(sources, `${name}.cc`),
      '-o',
      object,
    ]);
    return object;
  };
  // The order matters: of an inline function that several objects hold, the linker keeps the first, which must run on
  // every machine. So what needs no instruction set comes first and the widest set last.
  const objects = await Promise.all([
    ...['binding', 'reader', 'read_call', 'read_gradients'].map((name) => compile(name, [])),
    ...Object.entries(sets).map(([name, options]) => compile(name, options)),
  ]);
  const undefinedSymbols = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : [];
  await run(compiler, ['-shared', ...undefinedSymbols, ...extra, ...objects, '-o', `${output}.new`]);
  renameSync(`${output}.new`, output);
  rmSync(work, { recursive: true });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const output = join(root, 'build/attention.node');
  try {
    mkdirSync(join(root, 'build'), { recursive: true });
    await buildNative(output);
    console.log('attention-api: compiled the native kernels.');
  } catch (error) {
    // What an earlier build left would be of other sources.
    rmSync(output, { force: true });
    const reason = String(error.stderr || error.message)
      .trim()
      .split('\n')[0];
    console.log(`attention-api: native kernels are not compiled (${reason}); WebAssembly serves.`);
  }
}
