import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly optional?: boolean;
  readonly os?: string[];
  readonly cpu?: string[];
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

describe('package-lock.json', () => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  const entries = Object.entries(packages).filter(([path]) => path !== '');

  it('has what every package depends on, optional packages of other platforms included: npm ci insists', () => {
    const missing = Object.entries(packages).flatMap(([path, { dependencies, optionalDependencies }]) =>
      Object.keys({ ...dependencies, ...optionalDependencies })
        .filter((name) => !isFound(path, name))
        .map((name) => `${path} needs ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('pins the content of every package that is not for one foreign platform alone', () => {
    const here = ({ os, cpu }: LockedPackage) =>
      (os ?? ['linux']).includes('linux') &&
      (cpu ?? ['x64', 'arm64']).some((name) => ['x64', 'arm64'].includes(name));
    const loose = entries.filter(
      ([path, entry]) => here(entry) && !path.endsWith('-musl') && !entry.integrity,
    );
    expect(loose.map(([path]) => path)).toEqual([]);
  });

  it('names no registry, so that it works with each', () => {
    expect(entries.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([]);
  });

  /** Node's look-up: the package's own node_modules folder, then those of the folders around it. */
  function isFound(path: string, name: string): boolean {
    for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
      if (packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`] !== undefined) return true;
      if (folder === '') return false;
    }
  }
});
