import { expect, test } from 'vitest';
import { type Tally, World } from './world.ts';

/** SIM_SEED replays one history; SIM_SEEDS and SIM_FIRST_SEED run others than the usual ones. */
const SEEDS = process.env.SIM_SEED ? 1 : Number(process.env.SIM_SEEDS ?? 10_000);
const FIRST = Number(process.env.SIM_SEED ?? process.env.SIM_FIRST_SEED ?? 1);

function simulate(seed: number): World {
  const world = new World(seed);
  try {
    world.run();
  } catch (error) {
    throw new Error(`The scheduler failed in the history of SIM_SEED=${seed}.`, { cause: error });
  }
  return world;
}

test('the scheduler keeps its promises in every simulated history', { timeout: 120_000 }, () => {
  const total: Tally = {};
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    for (const [what, count] of Object.entries(simulate(seed).tally))
      total[what] = (total[what] ?? 0) + count;
  }
  if (SEEDS < 1000) return;
  const happened = [
    'done',
    'failed',
    'cancelled',
    'deadline',
    'worker_lost',
    'lost',
    'hang',
    'terminate',
    'batch',
    'complete before others are back',
  ];
  const refused = ['refuse requests', 'refuse bytes', 'refuse stopping'];
  for (const what of [...happened, ...refused]) expect(total[what], what).toBeGreaterThan(SEEDS / 100);
});

test('a history follows from its seed alone', () => {
  expect(simulate(7).tally).toEqual(simulate(7).tally);
});
