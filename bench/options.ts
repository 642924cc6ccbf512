import { parseArgs } from 'node:util';
import { candidateNamed } from './candidates.ts';
import { SHAPES, type Shape, shortened } from './shapes.ts';

export interface Options {
  readonly shapes: readonly Shape[];
  readonly threads: readonly number[];
  readonly rounds: number;
  /** No more samples of a row are taken after this long. */
  readonly seconds: number;
  readonly kernel: string | undefined;
  readonly pythons: readonly string[];
  readonly stages: boolean;
  readonly quick: boolean;
  readonly json: string | undefined;
}

export const USAGE = `npm run bench:kernels -- [options]
  --shape a,b      only these of ${SHAPES.map(({ name }) => name).join(', ')}
  --threads 1,2    numbers of threads
  --rounds n       samples of every contender (15)
  --seconds s      take no more samples of a row after so long (60)
  --kernel name    our kernel; the preferred one that computes the call where not given
  --python a,b     where to look for PyTorch and numpy (python3,/usr/bin/python3); "none" for nowhere
  --stages         also the time of every stage of our kernel, on one thread
  --json file      also write every sample to a file
  --quick          few tokens and two rounds: shows that everything runs, measures nothing`;

/** Reads the command line. Throws an error that says what is wrong; null where help is asked for. */
export function readOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      shape: { type: 'string' },
      threads: { type: 'string', default: '1,2' },
      rounds: { type: 'string' },
      seconds: { type: 'string', default: '60' },
      kernel: { type: 'string' },
      python: { type: 'string', default: 'python3,/usr/bin/python3' },
      stages: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  if (values.kernel !== undefined) candidateNamed(values.kernel);
  const shapes = values.shape === undefined ? SHAPES : values.shape.split(',').map(shapeNamed);
  return {
    shapes: values.quick ? shapes.map(shortened) : shapes,
    threads: values.threads.split(',').map((text) => count('--threads', text)),
    rounds: count('--rounds', values.rounds ?? (values.quick ? '2' : '15')),
    seconds: count('--seconds', values.seconds),
    kernel: values.kernel,
    pythons: values.python === 'none' ? [] : values.python.split(','),
    stages: values.stages,
    quick: values.quick,
    json: values.json,
  };
}

function shapeNamed(name: string): Shape {
  const shape = SHAPES.find((candidate) => candidate.name === name);
  if (shape === undefined) throw new Error(`There is no shape ${name}.`);
  return shape;
}

function count(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`${option} expects positive integers; got ${text}.`);
  return value;
}
