// Compiles the addons into build/<name>.node, where there is a C++ compiler; `node scripts/build-native.mjs <name>` only
// that one. Run by `npm ci` on whatever Node.js is there, so this file is plain JavaScript. Without a compiler, or when
// anything fails, the service does without: this script says so in one line for each addon and succeeds.
import { execFile } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));

const AVX2 = ['-mavx2', '-mfma'];
/** Instructions that count zeros, without a wait for what their target held before. */
const BMI2 = ['-mavx2', '-mbmi', '-mbmi2', '-mlzcnt'];
const AVX512 = ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma'];

/**
 * The addons: `units` run on every machine of the kind; `sets` are units for an instruction set, each with its options,
 * the widest set last. A set whose options the compiler does not know is left out, and so are those that need it; all
 * units see HAS_<SET> for each that is there.
 */
export const ADDONS = [
  {
    name: 'attention',
    what: 'the native kernels',
    otherwise: 'WebAssembly serves',
    sources: 'src/kernels/native/addon',
    units: ['binding', 'helpers', 'instruction_sets', 'reader', 'read_call', 'read_gradients', 'steps'],
    sets: {
      x64: {
        kernels_avx2: AVX2,
        kernels_avx512: AVX512,
        operands_avx512bf16: [...AVX512, '-mavx512bf16'],
        operands_amx: [...AVX512, '-mavx512bf16', '-mamx-tile', '-mamx-bf16'],
      },
      arm64: { kernels_neon: [] },
    },
    needsSet: true,
  },
  {
    name: 'codec',
    what: 'the native codec',
    otherwise: 'the portable one serves',
    sources: 'src/wire/native/addon',
    units: ['binding', 'powers_of_ten'],
    sets: {
      x64: {
        decimal: BMI2,
        rounding: BMI2,
        read_elements: BMI2,
        write_elements: BMI2,
        finite: BMI2,
        layout: BMI2,
        layout_avx512: [...BMI2, ...AVX512],
      },
      arm64: {
        decimal: [],
        rounding: [],
        read_elements: [],
        write_elements: [],
        finite: [],
        layout: [],
      },
    },
    needsSet: true,
  },
];

// Sums are chains of explicit multiply-adds: the compiler is to contract nothing by itself. What the source does to
// several vectors step by step is to stay so (elementary.h), and not become one vector after the other.
const OPTIONS = [
  '-std=c++17',
  '-O3',
  '-fno-schedule-insns2',
  '-fPIC',
  '-fvisibility=hidden',
  '-fno-math-errno',
  '-ffp-contract=off',
  '-pthread',
];

async function succeeds(command, args) {
  try {
    await run(command, args);
    return true;
  } catch {
    return false;
  }
}

async function findCompiler() {
  for (const compiler of [process.env.CXX, 'g++', 'clang++', 'c++']) {
    if (compiler && (await succeeds(compiler, ['--version']))) return compiler;
  }
  throw new Error('there is no C++ compiler (g++, clang++ or $CXX)');
}

/** The sets of this processor whose options the compiler takes: an old one lacks the newest. */
async function knownSets(compiler, { sets, needsSet }, work) {
  const probe = (options) => [...options, '-x', 'c++', '-c', '/dev/null', '-o', join(work, 'probe.o')];
  const known = [];
  for (const [name, options] of Object.entries(sets[process.arch] ?? {})) {
    if (await succeeds(compiler, probe(options))) known.push([name, options]);
  }
  if (needsSet && known.length === 0)
    throw new Error(`nothing is written for this compiler on ${process.arch}`);
  return known;
}

/** Compiles and links an addon into `output`; `extra` options go to every step (sanitizers). */
export async function buildAddon(addon, output, extra = []) {
  const compiler = await findCompiler();
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  const work = `${output}.objects`;
  mkdirSync(work, { recursive: true });
  try {
    const sets = await knownSets(compiler, addon, work);
    const common = [...OPTIONS, `-I${headers}`, ...sets.map(([name]) => `-DHAS_${name.toUpperCase()}`)];
    const compile = async (name, options) => {
      const source = join(root, addon.sources, `${name}.cc`);
      const object = join(work, `${name}.o`);
      await run(compiler, [...common, ...options, ...extra, '-c', source, '-o', object]);
      return object;
    };
    // The order matters: of an inline function that several objects hold, the linker keeps the first, which must run on
    // every machine. So what needs no instruction set comes first and the widest set last.
    const objects = await Promise.all([
      ...addon.units.map((name) => compile(name, [])),
      ...sets.map(([name, options]) => compile(name, options)),
    ]);
    const undefinedSymbols = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : [];
    await run(compiler, [
      '-shared',
      '-pthread',
      ...undefinedSymbols,
      ...extra,
      ...objects,
      '-o',
      `${output}.new`,
    ]);
    renameSync(`${output}.new`, output);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** Builds an addon where it is loaded from, and says what came of it. */
async function install(addon) {
  const output = join(root, 'build', `${addon.name}.node`);
  try {
    await buildAddon(addon, output);
    console.log(`attention-api: compiled ${addon.what}.`);
  } catch (error) {
    // What an earlier build left would be of other sources.
    rmSync(output, { force: true });
    const reason = String(error.stderr || error.message)
      .trim()
      .split('\n')[0];
    console.log(`attention-api: could not compile ${addon.what} (${reason}); ${addon.otherwise}.`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(join(root, 'build'), { recursive: true });
  const names = process.argv.slice(2);
  for (const addon of ADDONS) if (names.length === 0 || names.includes(addon.name)) await install(addon);
}
