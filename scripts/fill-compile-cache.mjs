// Starts the service once and stops it, so that what src/start.mjs keeps on disk is there: for images, which are read only.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const service = spawn(process.execPath, ['src/start.mjs'], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  env: { ...process.env, HOST: '127.0.0.1', PORT: '0', STORE: 'memory', LOG_LEVEL: 'info' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
const exited = once(service, 'exit');
let output = '';
let isUp = false;
for await (const text of service.stdout.setEncoding('utf8')) {
  output += text;
  if (isUp || !output.includes('"listening"')) continue;
  isUp = true;
  service.kill('SIGTERM');
}
const [status] = await exited;
process.exitCode = status ?? 1;
