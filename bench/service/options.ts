import { parseArgs } from 'node:util';
import { FORMATS, type Format } from './exchange.ts';
import { SERVICE_NAMES, type ServiceName } from './services.ts';
import { SHAPE_NAMES, type ShapeName } from './workload.ts';

export interface Options {
  readonly services: readonly ServiceName[];
  readonly shapes: readonly ShapeName[];
  readonly formats: readonly Format[];
  readonly concurrency: readonly number[];
  readonly rounds: number;
  /** Of one measurement, after its warm-up. */
  readonly seconds: number;
  readonly pythons: readonly string[];
  /** Whether the event loop is watched under large bodies. */
  readonly loop: boolean;
  readonly json: string | undefined;
}

export const USAGE = `npm run bench:service -- [options]
  --services a,b     only these of ${SERVICE_NAMES.join(', ')}
  --shapes a,b       only these of ${SHAPE_NAMES.join(', ')}
  --formats a,b      only these of ${FORMATS.join(', ')}; "none" for the event loop alone
  --concurrency 1,8  numbers of connections
  --rounds n         measurements of every service (3)
  --seconds s        of one measurement (1)
  --python a,b       where to look for FastAPI and PyTorch (python3,/usr/bin/python3)
  --no-loop          leave out the event loop under large bodies
  --json file        also write everything to a file`;

/** Reads the command line. Throws an error that says what is wrong; null where help is asked for. */
export function readOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      services: { type: 'string', default: SERVICE_NAMES.join() },
      shapes: { type: 'string', default: SHAPE_NAMES.join() },
      formats: { type: 'string', default: FORMATS.join() },
      concurrency: { type: 'string', default: '1,8' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '1' },
      python: { type: 'string', default: 'python3,/usr/bin/python3' },
      loop: { type: 'boolean', default: true },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  return {
    services: chosen('--services', values.services, SERVICE_NAMES),
    shapes: chosen('--shapes', values.shapes, SHAPE_NAMES),
    formats: values.formats === 'none' ? [] : chosen('--formats', values.formats, FORMATS),
    concurrency: values.concurrency.split(',').map((text) => positive('--concurrency', text)),
    rounds: positive('--rounds', values.rounds),
    seconds: positive('--seconds', values.seconds),
    pythons: values.python.split(','),
    loop: values.loop,
    json: values.json,
  };
}

/** Those that are named, in the order of the table. */
function chosen<Name extends string>(option: string, text: string, names: readonly Name[]): Name[] {
  const given: readonly string[] = text.split(',');
  for (const name of given)
    if (!names.some((known) => known === name))
      throw new Error(`${option} expects some of ${names.join(', ')}; got ${name}.`);
  return names.filter((name) => given.includes(name));
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0) || (option !== '--seconds' && !Number.isInteger(value)))
    throw new Error(`${option} expects positive numbers; got ${text}.`);
  return value;
}
