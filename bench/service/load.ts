import { Connection } from './connection.ts';
import type { LoadAnswer, LoadRequest } from './generator.ts';

/*
 * The process that asks. Each connection sends its next request as soon as the last one is answered, so `concurrency`
 * requests are under way at any time. Nothing else happens in here, and the times are kept in memory that is there.
 */

const MOST_REQUESTS = 2 ** 21;
const times = new Float64Array(MOST_REQUESTS);

async function load({
  port,
  request,
  concurrency,
  warmUp,
  seconds,
  least,
}: LoadRequest): Promise<LoadAnswer> {
  const connections: Connection[] = [];
  try {
    for (let at = 0; at < concurrency; at++) connections.push(await Connection.open(port));
    return await new Promise((resolve, reject) => {
      let [count, begun, ended] = [0, 0, false];
      let [cpu, end] = [process.cpuUsage(), 0];
      const begin = (now: number) => {
        [count, begun, cpu, end] = [0, now, process.cpuUsage(), now + seconds * 1000];
      };
      const warm = performance.now() + warmUp * 1000;
      if (warmUp === 0) begin(performance.now());
      const ask = (connection: Connection) => {
        const sent = performance.now();
        connection.send(
          request,
          ({ status, head }) => {
            if (ended) return;
            const now = performance.now();
            if (status !== 200) return reject(new Error(`Expected 200; got ${head}`));
            if (begun === 0 && now >= warm) begin(now);
            else if (begun > 0) times[count++] = now - sent;
            if (begun > 0 && count >= least && (now >= end || count === MOST_REQUESTS)) {
              ended = true;
              const { user, system } = process.cpuUsage(cpu);
              const elapsed = now - begun;
              return resolve({
                ...summary(times.subarray(0, count), elapsed),
                cpu: (user + system) / elapsed / 1000,
              });
            }
            ask(connection);
          },
          reject,
        );
      };
      for (const connection of connections) ask(connection);
    });
  } finally {
    for (const connection of connections) connection.close();
  }
}

function summary(latencies: Float64Array, elapsed: number) {
  const sorted = latencies.toSorted();
  const quantile = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return {
    requestsPerSecond: (1000 * sorted.length) / elapsed,
    p50: quantile(0.5),
    p99: quantile(0.99),
    max: quantile(1),
  };
}

process.on('message', (request: LoadRequest) => {
  load(request).then(
    (answer) => process.send!(answer),
    (error: Error) => process.send!({ error: error.message }),
  );
});
