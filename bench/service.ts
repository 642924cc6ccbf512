import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { machine } from './report.ts';
import { Generator } from './service/generator.ts';
import { measureArithmetic } from './service/limit.ts';
import { measureLoop } from './service/loop.ts';
import { type Options, readOptions, USAGE } from './service/options.ts';
import { printLoops, printRows, printTargets } from './service/report.ts';
import { measureRows, type Row } from './service/row.ts';
import { type Service, startService, TITLES } from './service/services.ts';
import { makeWorkload, type Workload } from './service/workload.ts';

async function main(options: Options): Promise<void> {
  console.log(`${machine()}, load ${loadavg()[0].toFixed(1)}`);
  const workloads: Workload[] = [];
  for (const name of options.shapes) workloads.push(await makeWorkload(name));
  const generator = new Generator();
  const services: Service[] = [];
  try {
    for (const name of options.services) {
      const service = await startService(name, { workloads, pythons: options.pythons });
      if (service === null) console.log(`${TITLES[name]}: not found`);
      else services.push(service);
    }
    const rows: Row[] = [];
    for (const workload of workloads)
      for (const format of options.formats) {
        console.log(`${workload.shape.name}, ${format}: measuring`);
        rows.push(...(await measureRows(services, workload, format, generator, options)));
      }
    const loops = options.loop ? await measureLoop(services, workloads, generator) : [];
    printRows(rows);
    printLoops(loops);
    printTargets(rows, loops, await measureArithmetic());
    if (options.json !== undefined)
      await writeFile(options.json, `${JSON.stringify({ machine: machine(), rows, loops }, null, 2)}\n`);
  } finally {
    for (const service of services) await service.stop();
    await generator.close();
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
