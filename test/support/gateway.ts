import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './free-port.ts';

/** One line of the gateway's access log. */
export interface AccessRecord {
  readonly request_id: string;
  readonly status: number;
  /** Replicas tried, separated by `, `. */
  readonly upstream: string;
}

/** nginx before replicas, with the project's own configuration. */
export interface Gateway {
  readonly url: string;
  readonly port: number;
  /** The record of one request, which is written a moment after the response. */
  record(requestId: string): Promise<AccessRecord>;
  /** Takes a replica out of the list, as nginx.d/replicas.conf says, and waits until no call goes there any more. */
  takeOut(replicaPort: number): Promise<void>;
  stop(): Promise<void>;
}

export function nginxIsInstalled(): boolean {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Starts nginx with deploy/nginx.conf as it is; only where to listen and the replicas are of this machine. */
export async function startGateway(replicaPorts: readonly number[]): Promise<Gateway> {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-'));
  // nginx started by root works as another user, who must reach its temporary files.
  execFileSync('chmod', ['755', folder]);
  const conf = join(folder, 'conf');
  const run = join(folder, 'run');
  mkdirSync(join(conf, 'nginx.d'), { recursive: true });
  mkdirSync(run);
  const port = await freePort();
  copyFileSync('deploy/nginx.conf', join(conf, 'nginx.conf'));
  copyFileSync('deploy/nginx.d/problems.conf', join(conf, 'nginx.d', 'problems.conf'));
  writeFileSync(join(conf, 'nginx.d', 'listen.conf'), `listen 127.0.0.1:${port};\n`);
  writeFileSync(join(conf, 'nginx.d', 'replicas.conf'), replicaList(replicaPorts));

  const log = join(folder, 'log');
  const output = openSync(log, 'a');
  const nginx = spawn(
    'nginx',
    ['-e', 'stderr', '-p', run, '-c', join(conf, 'nginx.conf'), '-g', 'daemon off;'],
    { stdio: ['ignore', output, output] },
  );
  await listening(port, nginx, log);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    takeOut: async (replicaPort) => {
      const path = join(conf, 'nginx.d', 'replicas.conf');
      writeFileSync(
        path,
        readFileSync(path, 'utf8').replace(new RegExp(`(:${replicaPort} .*);`), '$1 down;'),
      );
      const before = childrenOf(nginx.pid!);
      nginx.kill('SIGHUP');
      await until(() => !childrenOf(nginx.pid!).some((pid) => before.includes(pid)) || undefined);
    },
    record: (requestId) => until(() => accessRecords(log).find((record) => record.request_id === requestId)),
    stop: async () => {
      const exited = once(nginx, 'exit');
      nginx.kill('SIGQUIT');
      await exited;
      rmSync(folder, { recursive: true });
    },
  };
}

/** The project's list, with the addresses alone replaced. */
function replicaList(ports: readonly number[]): string {
  const servers = readFileSync('deploy/nginx.d/replicas.conf', 'utf8').match(/^server .*$/gm) ?? [];
  if (servers.length !== ports.length) throw new Error(`${servers.length} replicas are configured`);
  return servers.map((server, i) => `${server.replace(/ \S+/, ` 127.0.0.1:${ports[i]}`)}\n`).join('');
}

function accessRecords(log: string): AccessRecord[] {
  const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as AccessRecord);
}

function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
}

async function listening(port: number, nginx: ChildProcess, log: string): Promise<void> {
  await until(async () => {
    if (nginx.exitCode !== null) throw new Error(`nginx ended:\n${readFileSync(log, 'utf8')}`);
    const socket = connect(port, '127.0.0.1');
    const answered = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    return answered || undefined;
  });
}

/** What `look` finds, asked again until it finds something: another process cannot be awaited otherwise. */
async function until<Found>(look: () => Promise<Found | undefined> | Found | undefined): Promise<Found> {
  for (const end = Date.now() + 10_000; Date.now() < end; await delay(10)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new Error('nothing was found within 10 s');
}
