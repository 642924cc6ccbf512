import { relativeError, TOLERANCE } from '../check.ts';
import { type Answer, Connection } from './connection.ts';
import type { Exchange, Format } from './exchange.ts';
import type { Generator, Load } from './generator.ts';
import { type Service, type ServiceName, TITLES } from './services.ts';
import type { Workload } from './workload.ts';

export interface Contestant {
  readonly service: ServiceName;
  readonly title: string;
  /** One for each round. */
  readonly loads: readonly Load[];
}

/** One shape in one format with one number of connections. */
export interface Row {
  readonly shape: string;
  readonly format: Format;
  readonly concurrency: number;
  readonly contestants: readonly Contestant[];
}

export interface RowOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly concurrency: readonly number[];
}

interface Candidate {
  readonly service: Service;
  readonly title: string;
  readonly exchange: Exchange;
  /** Milliseconds of a single call. */
  readonly ms: number;
}

/** Part of the seconds of a measurement that is spent before it. */
const WARM_UP = 0.4;
/** Whoever takes longer for one call is asked once by every connection: a wave instead of a stream, and no more rounds. */
const SLOW_MS = 400;

/** The rows of a shape and format: every answer is held against the reference, then all are measured in turns. */
export async function measureRows(
  services: readonly Service[],
  workload: Workload,
  format: Format,
  generator: Generator,
  options: RowOptions,
): Promise<Row[]> {
  const candidates: Candidate[] = [];
  for (const service of services)
    for (const exchange of service.exchanges(workload, format)) {
      const candidate = await check(service, exchange, workload);
      if (candidate !== null) candidates.push(candidate);
    }
  const rows: Row[] = [];
  for (const concurrency of options.concurrency) {
    const contestants = await measure(candidates, concurrency, generator, options);
    rows.push({ shape: workload.shape.name, format, concurrency, contestants });
  }
  return rows;
}

/** null, and a line that says so, where the answer is wrong. */
async function check(service: Service, exchange: Exchange, workload: Workload): Promise<Candidate | null> {
  const title = TITLES[service.name] + (exchange.variant === '' ? '' : `, ${exchange.variant}`);
  let connection: Connection | null = null;
  try {
    connection = await Connection.open(service.process.port, { keepBodies: true });
    const { answer, ms } = await ask(connection, exchange.request);
    if (answer.status !== 200) throw new Error(`${answer.status} ${Buffer.from(answer.body)}`);
    const expected = service.name === 'echo' ? workload.inputs.x.data : workload.expected;
    const error = relativeError({ output: expected }, { output: exchange.read(answer) });
    const tolerance = service.name === 'echo' ? 0 : TOLERANCE.float32;
    if (!(error <= tolerance)) throw new Error(`off by ${error.toExponential(1)}, more than ${tolerance}`);
    // The first call may have met code that had never run.
    const again = ms > SLOW_MS ? await ask(connection, exchange.request) : { ms };
    return { service, title, exchange, ms: again.ms };
  } catch (error) {
    leaveOut(service, title, error as Error);
    return null;
  } finally {
    connection?.close();
  }
}

/** The other lines are wanted all the same. */
function leaveOut({ name }: Service, title: string, { message }: Error): void {
  console.error(`  ${title}: ${message}; left out`);
  if (name === 'ours') process.exitCode = 1;
}

async function ask(connection: Connection, request: Uint8Array): Promise<{ answer: Answer; ms: number }> {
  const start = performance.now();
  const answer = await connection.request(request);
  return { answer, ms: performance.now() - start };
}

/** Forwards in one round and backwards in the next, so that what else happens on the machine meets all of them. */
async function measure(
  candidates: readonly Candidate[],
  concurrency: number,
  generator: Generator,
  { rounds, seconds }: RowOptions,
): Promise<Contestant[]> {
  const loads = new Map(candidates.map((candidate) => [candidate, [] as Load[]]));
  let turns = [...candidates];
  for (let round = 0; round < rounds; round++) {
    for (const candidate of turns) {
      const { service, title, exchange, ms } = candidate;
      const slow = ms > SLOW_MS;
      if (slow && round > 0) continue;
      try {
        const load = await generator.run({
          port: service.process.port,
          request: exchange.request,
          concurrency,
          warmUp: WARM_UP * seconds,
          seconds,
          once: slow,
        });
        loads.get(candidate)!.push(load);
      } catch (error) {
        leaveOut(service, `${title}, c=${concurrency}`, error as Error);
        loads.delete(candidate);
      }
    }
    turns = turns.filter((candidate) => loads.has(candidate)).reverse();
  }
  return Array.from(loads, ([{ service, title }, list]) => ({ service: service.name, title, loads: list }));
}
