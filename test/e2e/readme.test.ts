import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen, type TestService } from '../http/support.ts';
import { BLOCKS } from '../support/readme.ts';

const run = promisify(execFile);

/** Calls by curl, each with the answer that the README shows after it; `…` stands for what is left out. */
const CALLS = BLOCKS.flatMap(({ language, code }, index) =>
  language === 'sh' && /\bcurl\b/.test(code) ? [[code.split('\n')[0], code, BLOCKS[index + 1]] as const] : [],
);

describe('the README', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await listen();
  });
  afterAll(() => service.close());

  it('shows calls', () => {
    expect(CALLS.length).toBeGreaterThanOrEqual(4);
  });

  it.each(CALLS)('shows what comes of: %s', async (_first, code, shown) => {
    const command = code.replaceAll('http://localhost:8080', service.url);
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', command]);
    expect(shown.language).toBe('json');
    let rest = rounded(stdout);
    for (const part of shown.code.replaceAll(/\n\s*/g, '').split('…')) {
      const wanted = rounded(part.replace(/^[ ,]+|[ ,]+$/g, ''));
      expect(rest).toContain(wanted);
      rest = rest.slice(rest.indexOf(wanted) + wanted.length);
    }
  });

  it('shows the Python examples as they are', () => {
    const shown = BLOCKS.filter(({ language }) => language === 'python').map(({ code }) => code);
    const files = readdirSync('examples/python').map((name) =>
      readFileSync(`examples/python/${name}`, 'utf8'),
    );
    expect(shown.sort()).toEqual(files.sort());
  });
});

/** Numbers to five digits, which no kernel changes. */
function rounded(text: string): string {
  return text.replaceAll(/\d+\.\d+/g, (number) => Number(number).toPrecision(5));
}
