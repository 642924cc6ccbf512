import { describe } from 'vitest';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { computesGradients } from '../../support/calls.ts';
import { agreement } from './agreement.ts';
import { allocation } from './allocation.ts';
import { caches } from './caches.ts';
import { empty } from './empty.ts';
import { gradients } from './gradients.ts';
import { invariances } from './invariances.ts';
import { leakage } from './leakage.ts';
import { projected } from './projected.ts';
import { returns } from './returns.ts';
import { shortSamples } from './short-samples.ts';
import { softmax } from './softmax.ts';

/** What every kernel owes. */
export function contract(kernel: Kernel): void {
  describe(kernel.name, () => {
    describe('agreement', () => agreement(kernel));
    describe('softmax', () => softmax(kernel));
    describe('forbidden keys', () => leakage(kernel));
    describe('projected heads', () => projected(kernel));
    describe('short samples', () => shortSamples(kernel));
    describe('invariances', () => invariances(kernel));
    if (computesGradients(kernel)) describe('gradients', () => gradients(kernel));
    describe('nothing', () => empty(kernel));
    describe('returns', () => returns(kernel));
    describe('caches', () => caches(kernel));
    describe('allocation', () => allocation(kernel));
  });
}
