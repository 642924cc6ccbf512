import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/*
 * Installs what the benchmark compares with, where it is missing. ONNX Runtime's package brings its CPU library along;
 * its install script only fetches others, and fails without a network, so it is told to skip that.
 */
const folder = fileURLToPath(new URL('.', import.meta.url));
if (!existsSync(`${folder}node_modules/onnxruntime-node`)) {
  const { status } = spawnSync('npm', ['ci'], {
    cwd: folder,
    stdio: 'inherit',
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
  process.exitCode = status ?? 1;
}
