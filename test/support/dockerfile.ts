import { readFileSync } from 'node:fs';

/** One instruction of a Dockerfile, continued lines joined: `COPY`, `package.json LICENSE ./`. */
export interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** The stages of a Dockerfile, each from its FROM on. */
export function readDockerfile(path: string): Instruction[][] {
  const stages: Instruction[][] = [];
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  for (const line of lines) {
    const [, name, text] = /^(\w+)\s+(.*)$/.exec(line) as unknown as [string, string, string];
    if (name === 'FROM') stages.push([]);
    stages.at(-1)!.push({ name, text });
  }
  return stages;
}

/** The arguments of each instruction of one name, in order. */
export function argumentsOf(stage: readonly Instruction[], name: string): string[] {
  return stage.filter((instruction) => instruction.name === name).map(({ text }) => text);
}

/** What a stage copies out of the build context: sources and the destination. */
export function copiedFromContext(stage: readonly Instruction[]): { from: string[]; to: string }[] {
  return argumentsOf(stage, 'COPY')
    .filter((text) => !text.startsWith('--from='))
    .map((text) => text.split(/\s+/))
    .map((words) => ({ from: words.slice(0, -1), to: words.at(-1)! }));
}
