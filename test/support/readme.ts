import { readFileSync } from 'node:fs';

/** A block of code that the README shows. */
export interface Block {
  readonly language: string;
  readonly code: string;
}

/** Every block of the README, in its order. */
export const BLOCKS: readonly Block[] = Array.from(
  readFileSync('README.md', 'utf8').matchAll(/^```(\w+)\n(.*?)^```$/gms),
  ([, language, code]) => ({ language, code }),
);

/** The one block of the language that holds the text. */
export function blockOf(language: string, text: string): string {
  const found = BLOCKS.filter((block) => block.language === language && block.code.includes(text));
  if (found.length !== 1) throw new Error(`The README has ${found.length} ${language} blocks with ${text}.`);
  return found[0].code;
}
