import { attention } from './attention.ts';
import { hfBert } from './hf-bert.ts';
import { hfGpt2 } from './hf-gpt2.ts';
import { hfLlama } from './hf-llama.ts';
import type { Mapping } from './mapping.ts';
import { torch } from './torch.ts';

/** Every mapping, ours first. A new one is a row here and its own file. */
export const MAPPINGS: readonly Mapping[] = [attention, torch, hfBert, hfGpt2, hfLlama];

export function mappingNamed(name: string): Mapping {
  const found = MAPPINGS.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`There is no mapping ${name}.`);
  return found;
}
