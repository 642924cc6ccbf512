import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ServiceProcess, startService } from '../support/service-process.ts';

const run = promisify(execFile);

/** Debian's own, with its packages python3-requests and python3-numpy; another Python on the path has other packages. */
const PYTHON = '/usr/bin/python3';

describe('the Python examples', () => {
  let service: ServiceProcess;
  beforeAll(async () => {
    await run(PYTHON, ['-c', 'import numpy, requests']);
    service = await startService();
  });
  afterAll(() => service?.stop());

  const python = async (file: string) => {
    const { stdout, stderr } = await run(PYTHON, ['-W', 'error', `examples/python/${file}`, service.url]);
    expect(stderr).toBe('');
    return stdout;
  };

  it('call_safetensors.py', async () => {
    expect(await python('call_safetensors.py')).toMatch(
      /^\(512, 768\) float32 \[1\. 1\. 1\.\]\nQ = X·W_Q; .*softmax\(QKᵀ\/√64\)·V; Concat\(head_1 … head_12\)·W_O\n$/,
    );
  });

  it('call_kserve.py', async () => {
    const stdout = await python('call_kserve.py');
    expect(stdout).toMatch(/^\(2, 8, 128, 64\) off from numpy by at most [\d.e-]+\n$/);
    expect(Number(stdout.split(' ').at(-1))).toBeLessThan(1e-5);
  });

  it('tell what the service refuses', async () => {
    const code = [
      'import sys, numpy',
      "sys.path.insert(0, 'examples/python')",
      'sys.dont_write_bytecode = True',
      'from call_safetensors import attend',
      "q = numpy.ones((2, 2), '<f4')",
      `attend('${service.url}', '/v1/scaled-dot-product-attention', {'query': q, 'key': q, 'value': q}, heads=3)`,
    ];
    const refused = run(PYTHON, ['-c', code.join('\n')]);
    await expect(refused).rejects.toMatchObject({ stderr: expect.stringMatching(/RuntimeError: .*3 heads/) });
  });
});
