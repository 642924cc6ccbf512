/**
 * Writes the OpenAPI document to openapi/, or with --check says whether what stands there is what the routes say.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { pino } from 'pino';
import { buildApp } from '../src/app.ts';
import { DEFAULT_LIMITS } from '../src/domain/limits.ts';
import { Engine } from '../src/engine/engine.ts';
import { MemoryStore } from '../src/store/memory.ts';

const engine = new Engine({ threads: 1, limits: DEFAULT_LIMITS });
const app = await buildApp({
  config: { limits: DEFAULT_LIMITS, trustProxy: [] },
  engine,
  store: new MemoryStore(),
  logger: pino({ level: 'warn' }),
});
const drifted: string[] = [];
for (const name of ['openapi.json', 'openapi.yaml']) {
  const file = new URL(`../openapi/${name}`, import.meta.url);
  const { body } = await app.inject({ url: `/${name}` });
  if (!process.argv.includes('--check')) writeFileSync(file, body);
  else if (read(file) !== body) drifted.push(`openapi/${name}`);
}
await app.close();
await engine.close();
if (drifted.length > 0) {
  console.error(`${drifted.join(' and ')} differ from what the routes say; run \`npm run openapi\`.`);
  process.exitCode = 1;
}

function read(file: URL): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
