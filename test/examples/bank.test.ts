import { execFile } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Reading, readWord } from '../../examples/bank/reading.ts';
import { cosine, mean, sameBits } from '../../examples/bank/vectors.ts';
import { MissingPackage } from '../../examples/pretrained/optional-package.ts';
import { type FirstLayer, loadFirstLayer } from '../../examples/pretrained/sentence-encoder.ts';
import { type ServiceProcess, startService } from '../support/service-process.ts';

const layer = await loadFirstLayer().catch((error: unknown) => {
  if (error instanceof MissingPackage) return error;
  throw error;
});
const missing = layer instanceof MissingPackage;
if (missing) console.warn(`SKIPPED test/examples/bank.test.ts. ${layer.message}`);

/** Expected values: measured with another implementation of the model. */
describe.skipIf(missing)('the word bank in two sentences', () => {
  let service: ServiceProcess;
  let plain: Reading;
  let deposit: Reading;

  beforeAll(async () => {
    service = await startService();
    const read = (sentence: string) => readWord(service.url, layer as FirstLayer, sentence, 'bank');
    plain = await read('I sat by the bank');
    deposit = await read('I went to the bank to deposit money');
  });
  afterAll(() => service?.stop());

  it('is one token at the same place in both', () => {
    expect(plain.tokens).toEqual(['▁I', '▁sat', '▁by', '▁the', '▁bank']);
    expect(plain.ids).toEqual([16, 3757, 55, 9, 1191]);
    expect(deposit.tokens).toEqual(['▁I', '▁went', '▁to', '▁the', '▁bank', '▁to', '▁deposit', '▁money']);
    expect(deposit.ids).toEqual([16, 609, 10, 9, 1191, 10, 6109, 406]);
    expect([plain.position, deposit.position]).toEqual([4, 4]);
  });

  it('is the same vector to the bit before attention', () => {
    expect(plain.embedding.length).toBe(256);
    expect(sameBits(plain.embedding, deposit.embedding)).toBe(true);
    expect(sameBits(plain.normalized, deposit.normalized)).toBe(true);
  });

  it('attends to the deposit sentence as the model does', () => {
    const digits = (row: Iterable<number>, decimals: number) =>
      Array.from(row, (weight) => weight.toFixed(decimals));
    expect(deposit.weights).toHaveLength(4);
    expect(digits(deposit.weights[0], 4)).toEqual([
      '0.0536',
      '0.1166',
      '0.1293',
      '0.2885',
      '0.2755',
      '0.0741',
      '0.0530',
      '0.0093',
    ]);
    expect(digits(mean(deposit.weights), 3)).toEqual([
      '0.014',
      '0.029',
      '0.033',
      '0.086',
      '0.714',
      '0.052',
      '0.067',
      '0.005',
    ]);
  });

  it('is another vector after attention', () => {
    expect(plain.output.length).toBe(512);
    expect(cosine(plain.output, deposit.output).toFixed(4)).toBe('0.9523');
  });

  it('is shown by the example', async () => {
    const { status, stdout } = await runExample(service.url);
    expect(status).toBe(0);
    expect(stdout).toContain('▁deposit 6109');
    expect(stdout.match(/identical to the bit/g)).toHaveLength(2);
    expect(stdout).toContain('“I sat by the bank” and “I went to the bank to deposit money”: 0.9523');
  });

  it('says how to start the service where nothing answers', async () => {
    const { status, stderr } = await runExample('http://127.0.0.1:9');
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^Nothing answers at http:\/\/127\.0\.0\.1:9\. Start the service .*\n\n {2}npm start\n/,
    );
  });

  it('keeps pieces that are not text out of reach of a text', () => {
    const { tokenize } = layer as FirstLayer;
    expect(tokenize('<s>').ids).not.toContain(1);
    expect(tokenize('  bank ').ids).toEqual([1191]);
    expect(tokenize('日').ids).toContain(0);
  });
});

function runExample(url: string): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['examples/bank.ts', url], (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}
