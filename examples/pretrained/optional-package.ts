import { createRequire } from 'node:module';
import { dirname } from 'node:path';

const require = createRequire(import.meta.url);

/** An optional dependency that is not installed. The message says how to install it. */
export class MissingPackage extends Error {
  constructor(name: string) {
    super(
      `The optional package ${name} is not installed. Install it with:\n\n  npm install --include=optional\n`,
    );
    this.name = 'MissingPackage';
  }
}

/** Folder of an installed package, for reading its files without running its code. Throws MissingPackage. */
export function packageFolder(name: string): string {
  return dirname(resolvePackage(name, '/package.json'));
}

/** What an installed package exports to `require`. Throws MissingPackage. */
export function requirePackage(name: string): unknown {
  return require(resolvePackage(name));
}

function resolvePackage(name: string, subpath = ''): string {
  try {
    return require.resolve(name + subpath);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') throw new MissingPackage(name);
    throw cause;
  }
}
