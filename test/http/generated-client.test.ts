import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createClient } from '@hey-api/openapi-ts';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const USE = `
import { getInfo, multiHeadAttention, scaledDotProductAttention } from './client';

export async function use(): Promise<number> {
  const { data, error } = await scaledDotProductAttention({
    body: { query: [[1, 2]], key: [[1, 0], [0, 2]], value: { shape: [2, 1], data: 'AACAQAAAIEE=' }, causal: { offset: 1 } },
    headers: { 'X-Deadline-Ms': 100 },
  });
  if (error !== undefined) throw new Error(error.errors[0]?.pointer ?? error.code);
  const limits = (await getInfo()).data?.limits;
  await multiHeadAttention({ body: { embeddings: [[1]], projections: { w_qkv: [[1, 1, 1]] }, return: { logits: 'masked' } } });
  return data.applied.scale * (limits?.body_bytes ?? 0);
}
`;

const MISUSE = `
import { scaledDotProductAttention } from './client';

export const misuse = () => scaledDotProductAttention({ body: { query: [[1]], key: [[1]], value: [[1]], causal: 'upper' } });
`;

describe('a client that is generated from the document', () => {
  let folder: string;
  let messages: Map<string, string[]>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'client-'));
    await createClient({
      input: join(process.cwd(), 'openapi/openapi.json'),
      output: join(folder, 'client'),
      logs: { level: 'silent', file: false },
    });
    messages = compile({ 'use.ts': USE, 'misuse.ts': MISUSE });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('compiles, and so does what uses it', () => {
    expect([...messages.keys()]).toEqual(['misuse.ts']);
  });

  it('refuses what the service would refuse', () => {
    expect(messages.get('misuse.ts')).toEqual([expect.stringContaining(`Type '"upper"' is not assignable`)]);
  });

  /** Messages of the compiler by the name of the file. */
  function compile(sources: Readonly<Record<string, string>>): Map<string, string[]> {
    const files = Object.entries(sources).map(([name, source]) => {
      const file = join(folder, name);
      writeFileSync(file, source);
      return file;
    });
    const program = ts.createProgram(files, {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
      types: [],
      strict: true,
      skipDefaultLibCheck: true,
      noEmit: true,
    });
    const diagnostics = ts.getPreEmitDiagnostics(program);
    const byFile = Map.groupBy(diagnostics, ({ file }) => basename(file?.fileName ?? 'options'));
    return new Map([...byFile].map(([name, list]) => [name, list.map(messageOf)]));
  }
});

function messageOf({ messageText }: ts.Diagnostic): string {
  return ts.flattenDiagnosticMessageText(messageText, '\n');
}
