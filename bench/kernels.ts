import { writeFile } from 'node:fs/promises';
import { printAsked } from './asked.ts';
import type { Contender } from './contender.ts';
import { type Options, readOptions, USAGE } from './options.ts';
import { PeakMeter } from './peak.ts';
import { findPeers } from './peers.ts';
import { machine, printRows, printStages, toJson } from './report.ts';
import { Bench, kernelName, type Row } from './row.ts';
import { type Shape, streamedBytes } from './shapes.ts';

/** What the meter of arithmetic reads besides: nobody asks for that rate. */
const ARITHMETIC_BYTES = 2 ** 20;

/** Who reads what a shape reads that reading bounds, if anybody can. */
function readingOf(shape: Shape, threads: number, meter: PeakMeter | null): Contender[] {
  const bytes = streamedBytes(shape);
  return meter === null || bytes === null ? [] : [meter.reading(threads, bytes)];
}

async function main(options: Options): Promise<void> {
  console.log(machine());
  if (options.quick) console.log('Quick: few tokens and rounds. These numbers say nothing.');
  const peers = await findPeers(options.pythons);
  if (peers.length === 0 && options.pythons.length > 0)
    console.log('No Python with PyTorch or numpy was found.');
  const meter = await PeakMeter.build();
  const rows: Row[] = [];
  const stages: [string, ReturnType<Bench['stages']>][] = [];
  try {
    for (const shape of options.shapes) {
      console.log(`${shape.name}: computing the reference`);
      const bench = await Bench.prepare(shape, { ...options, peers });
      for (const threads of options.threads) {
        await meter?.measure(threads, ARITHMETIC_BYTES);
        console.log(`${shape.name}: measuring with ${threads} thread${threads === 1 ? '' : 's'}`);
        try {
          rows.push(await bench.row(threads, readingOf(shape, threads, meter)));
        } catch (error) {
          // The other rows are wanted all the same.
          console.error(`  no row: ${(error as Error).stack}`);
          process.exitCode = 1;
        }
        await meter?.measure(threads, ARITHMETIC_BYTES);
      }
      if (options.stages) stages.push([shape.name, bench.stages(options.rounds)]);
    }
    const peakOf = ({ shape, threads }: Row) =>
      meter?.arithmetic(threads, kernelName(shape, options)?.startsWith('wasm') ? 'gflops128' : 'gflops') ??
      null;
    printRows(rows, peakOf);
    if (!options.quick) printAsked(rows, peakOf);
    for (const [name, times] of stages) printStages(name, times);
    if (options.json !== undefined) await writeFile(options.json, toJson(rows, peakOf, stages));
  } finally {
    await meter?.close();
  }
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options === null) console.log(USAGE);
  else await main(options);
} catch (error) {
  console.error(error instanceof Error ? error.stack : error);
  process.exitCode = 1;
}
