import type { Job } from '../../src/kernels/kernel.ts';
import type { Addon } from '../../src/kernels/native/addon.ts';
import { type Description, describeJob } from '../../src/kernels/native/description.ts';
import { layoutOf } from '../../src/kernels/native/layout.ts';

/** A job as the kernels of an instruction set read it; as those of another one do where there is none of that name. */
export function describedFor(addon: Addon, set: string, job: Job): Description {
  const sets = addon.instructionSets();
  return describeJob(job, layoutOf(sets.find(({ name }) => name === set) ?? sets[0]));
}
