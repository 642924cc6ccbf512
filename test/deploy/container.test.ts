import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { EnvironmentSchema } from '../../src/config.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { PROBLEM_CODES, Problem, type ProblemCode } from '../../src/domain/problem.ts';
import { argumentsOf, copiedFromContext, readDockerfile } from '../support/dockerfile.ts';

const text = (path: string) => readFileSync(path, 'utf8');

describe('Dockerfile', () => {
  const stages = readDockerfile('Dockerfile');
  const image = stages.at(-1)!;
  const only = (name: string) => {
    const found = argumentsOf(image, name);
    expect(found, `${name} stands once`).toHaveLength(1);
    return found[0];
  };

  it('builds on the Node version that the project is developed with', () => {
    const { devDependencies } = JSON.parse(text('package.json')) as { devDependencies: { node: string } };
    const [major] = devDependencies.node.split('.');
    expect(stages.length).toBeGreaterThan(1);
    for (const stage of stages) {
      expect(argumentsOf(stage, 'FROM')[0].split(' ')[0]).toBe(`node:${major}-slim`);
    }
  });

  it('installs what the lock file says, without tools and optional packages', () => {
    const installs = stages
      .flatMap((stage) => argumentsOf(stage, 'RUN'))
      .filter((run) => run.includes('npm'));
    expect(installs).toHaveLength(1);
    expect(installs[0]).toMatch(/^npm ci .*--omit=dev .*--omit=optional/);
  });

  it('runs as a user other than root, named by number, set after the last command that needs root', () => {
    expect(only('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    const order = image.map(({ name }) => name);
    expect(order.lastIndexOf('RUN')).toBeLessThan(order.indexOf('USER'));
    expect(order.lastIndexOf('COPY')).toBeLessThan(order.indexOf('USER'));
  });

  it('starts node itself, so that signals reach it, as npm start does', () => {
    const { scripts } = JSON.parse(text('package.json')) as { scripts: { start: string } };
    expect(JSON.parse(only('CMD'))).toEqual(scripts.start.split(' '));
    expect(JSON.parse(only('CMD')).at(-1)).toBe('src/start.mjs');
    expect(argumentsOf(image, 'ENTRYPOINT')).toEqual([]);
    expect(only('STOPSIGNAL')).toBe('SIGTERM');
    expect(only('EXPOSE')).toBe('8080');
  });

  it('asks the service for its health without a shell', () => {
    const [, options, command] = /^(.*?)\s*CMD (.*)$/.exec(only('HEALTHCHECK')) as unknown as string[];
    expect(JSON.parse(command)).toEqual(['node', 'deploy/healthcheck.mjs']);
    expect(options).toContain('--timeout=');
  });

  it('writes to the data volume alone, which belongs to that user', () => {
    expect(only('VOLUME')).toBe('/data');
    expect(only('ENV')).toContain('DATA_DIR=/data');
    const [uid, gid] = only('USER').split(':');
    expect(only('RUN')).toMatch(new RegExp(`install -d -o ${uid} -g ${gid} .*/data$`));
    expect(argumentsOf(image, 'COPY').join()).not.toContain('--chown');
  });

  it('copies files that are there and that the build context lets through', () => {
    const [everything, ...allowed] = text('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(everything).toBe('*');
    const copied = stages.flatMap(copiedFromContext).flatMap(({ from }) => from);
    for (const path of copied) {
      expect(existsSync(path), path).toBe(true);
      expect(
        allowed.some((line) => `!${path}/`.startsWith(`${line}/`)),
        `${path} is let through`,
      ).toBe(true);
    }
    for (const line of allowed) expect(copied, 'nothing more is let through').toContain(line.slice(1));
  });
});

interface ComposeService {
  readonly image: string;
  readonly build?: string;
  readonly read_only: boolean;
  readonly privileged?: boolean;
  readonly cap_add?: string[];
  readonly cap_drop: string[];
  readonly security_opt: string[];
  readonly tmpfs: string[];
  readonly volumes: string[];
  readonly mem_limit: string;
  readonly pids_limit: number;
  readonly healthcheck: { test: string[]; interval: string; timeout: string };
  readonly stop_grace_period: string;
  readonly stop_signal?: string;
  readonly user?: string;
  readonly environment: Record<string, string>;
  readonly ports?: string[];
  readonly networks: { attention: { ipv4_address: string } };
}

describe('docker-compose.yml', () => {
  const { services } = parse(text('docker-compose.yml'), { merge: true }) as {
    services: Record<string, ComposeService>;
  };
  const { gateway, ...replicas } = services;

  it.each(Object.entries(services))('%s is confined', (_name, service) => {
    expect(service.read_only).toBe(true);
    expect(service.cap_drop).toEqual(['ALL']);
    expect(service.cap_add).toBeUndefined();
    expect(service.privileged).toBeUndefined();
    expect(service.security_opt).toContain('no-new-privileges:true');
    expect(service.user ?? '1000:1000').not.toMatch(/^(0|root)\b/);
    expect(service.mem_limit).toMatch(/^\d+[mg]$/);
    expect(service.pids_limit).toBeGreaterThan(0);
    expect(service.tmpfs).toEqual([expect.stringMatching(/^\/tmp:size=\d+m,noexec,nosuid,nodev$/)]);
    expect(service.healthcheck.test[0]).toBe('CMD');
    for (const volume of service.volumes) expect(volume).toMatch(/^layers:\/data$|:ro$/);
  });

  it('has two replicas, which are reached through the gateway alone', () => {
    expect(Object.keys(replicas)).toHaveLength(2);
    for (const replica of Object.values(replicas)) {
      expect(replica.build).toBe('.');
      expect(replica.ports).toBeUndefined();
    }
    expect(gateway.ports).toEqual(['8080:8080']);
  });

  it('sets only variables that the service reads, and trusts the address of the gateway alone', () => {
    for (const { environment } of Object.values(replicas)) {
      for (const name of Object.keys(environment)) expect(EnvironmentSchema.properties).toHaveProperty(name);
      expect(environment.TRUST_PROXY).toBe(gateway.networks.attention.ipv4_address);
    }
  });

  it('gives each replica the time to finish what it has accepted', () => {
    for (const { environment, stop_grace_period } of Object.values(replicas)) {
      const delay = Number(environment.SHUTDOWN_DELAY_MS);
      expect(delay).toBeGreaterThan(0);
      expect(milliseconds(stop_grace_period)).toBeGreaterThan(delay + DEFAULT_LIMITS.deadlineMs + 10_000);
    }
    expect(gateway.stop_signal).toBe('SIGQUIT');
  });

  it('allows the queue less memory than the container has', () => {
    for (const { environment, mem_limit } of Object.values(replicas)) {
      expect(Number(environment.MAX_QUEUE_BYTES)).toBeLessThanOrEqual(
        Number.parseInt(mem_limit, 10) * 2 ** 30 * 0.7,
      );
    }
  });

  it('names in the configuration of nginx the replicas that there are', () => {
    const servers = [...text('deploy/nginx.d/replicas.conf').matchAll(/^server (\S+)/gm)].map(
      ([, address]) => address,
    );
    expect(servers).toEqual(Object.keys(replicas).map((name) => `${name}:8080`));
  });
});

describe('deploy/nginx.conf', () => {
  const conf = text('deploy/nginx.conf');
  const directive = (name: string) => {
    const [, value] = new RegExp(`^\\s*${name} ([^;]+);`, 'm').exec(conf) ?? [];
    expect(value, `${name} is set`).toBeDefined();
    return value as string;
  };

  it('has the limits of the service', () => {
    expect(directive('client_max_body_size')).toBe(`${DEFAULT_LIMITS.bodyBytes / 2 ** 20}m`);
    expect(milliseconds(directive('proxy_read_timeout'))).toBeGreaterThan(DEFAULT_LIMITS.deadlineMs);
  });

  it('never sends a POST a second time', () => {
    const conditions = [...conf.matchAll(/^\s*proxy_next_upstream ([^;]+);/gm)].map(([, value]) => value);
    expect(conditions[0]).toBe('error timeout');
    expect(conditions.join(' ')).not.toContain('non_idempotent');
  });

  it('words its own refusals as the service words them', () => {
    const problems = text('deploy/nginx.d/problems.conf');
    const rows = (variable: string) => {
      const [, block] = new RegExp(`map \\$status \\$${variable} \\{([^}]*)\\}`).exec(
        problems,
      ) as unknown as string[];
      return new Map(
        [...block.matchAll(/^\s*(\d{3}) "?([^";]+)"?;/gm)].map(([, status, value]) => [status, value]),
      );
    };
    const titles = rows('problem_title');
    const types = rows('problem_type');
    const known = [...rows('problem_code')].filter(([, code]) => PROBLEM_CODES.includes(code as ProblemCode));
    expect(known.map(([status]) => status)).toEqual(['400', '404', '408', '413', '431']);
    for (const [status, code] of known) {
      const problem = new Problem(code as ProblemCode, '');
      expect(String(problem.status)).toBe(status);
      expect(titles.get(status)).toBe(problem.title);
      expect(types.get(status)).toBe(`/problems/${code}`);
    }
  });
});

function milliseconds(duration: string): number {
  const [, amount, unit] = /^(\d+)(ms|s|m)$/.exec(duration) as unknown as [string, string, 'ms' | 's' | 'm'];
  return Number(amount) * { ms: 1, s: 1000, m: 60_000 }[unit];
}
