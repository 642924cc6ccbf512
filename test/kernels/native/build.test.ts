import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Addon, loadAddon } from '../../../src/kernels/native/addon.ts';

const isBuilt = 'addon' in loadAddon();

/** The face of scripts/build-native.mjs, which is plain JavaScript. */
interface BuildScript {
  readonly ADDONS: readonly { readonly name: string }[];
  buildAddon(addon: { readonly name: string }, output: string, extra?: readonly string[]): Promise<void>;
}

/** A compiler that knows all but one kind of options, as one of before these instructions would. */
const oldCompiler = (unknown: string) => `#!/bin/sh
for option in "$@"; do
  case "$option" in ${unknown}) echo "error: unrecognized command line option '$option'" >&2; exit 1 ;; esac
done
exec ${process.env.CXX ?? 'g++'} "$@"
`;

describe.skipIf(!isBuilt || process.arch !== 'x64')('compiling with an old compiler', () => {
  let directory: string;
  const compiler = process.env.CXX;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'build-native-'));
  });
  afterEach(async () => {
    if (compiler === undefined) delete process.env.CXX;
    else process.env.CXX = compiler;
    await rm(directory, { recursive: true });
  });

  async function build(unknown: string): Promise<Addon> {
    const script: string = new URL('../../../scripts/build-native.mjs', import.meta.url).href;
    const { ADDONS, buildAddon } = (await import(script)) as BuildScript;
    const wrapper = join(directory, 'c++');
    await writeFile(wrapper, oldCompiler(unknown));
    await chmod(wrapper, 0o755);
    process.env.CXX = wrapper;
    const output = join(directory, 'attention.node');
    // As fast as compiling goes.
    await buildAddon(ADDONS.find(({ name }) => name === 'attention')!, output, ['-O0']);
    return createRequire(import.meta.url)(output) as Addon;
  }

  it.each([
    ['-mamx-bf16', ['amx', 'amx-bfloat16']],
    ['-mavx512bf16', ['amx', 'amx-bfloat16', 'avx512bf16']],
  ])(
    'leaves out what needs %s, which it does not know, and nothing else',
    {
      timeout: 120_000,
    },
    async (option, without) => {
      const whole = (loadAddon() as { addon: Addon }).addon.instructionSets().map(({ name }) => name);
      const addon = await build(option);
      expect(addon.instructionSets().map(({ name }) => name)).toEqual(
        whole.filter((name) => !without.includes(name)),
      );
    },
  );

  it('fails where it knows none', async () => {
    await expect(build('-mavx*')).rejects.toThrow(/for this compiler/);
  });
});
