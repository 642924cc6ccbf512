/**
 * The same word in two sentences, on real weights: `npm run example:bank [-- <address of the service>]`.
 *
 * Tokenises, embeds and normalises as layer 0 of a pretrained sentence encoder does, and lets the running
 * service compute that layer's attention. The address is http://127.0.0.1:8080 unless the argument or
 * ATTENTION_API_URL says otherwise.
 */
import { ServiceUnreachable } from './bank/attend.ts';
import { readWord } from './bank/reading.ts';
import { report } from './bank/report.ts';
import { MissingPackage } from './pretrained/optional-package.ts';
import { loadFirstLayer } from './pretrained/sentence-encoder.ts';

const baseUrl = process.argv[2] ?? process.env.ATTENTION_API_URL ?? 'http://127.0.0.1:8080';

try {
  const layer = await loadFirstLayer();
  const read = (sentence: string) => readWord(baseUrl, layer, sentence, 'bank');
  const comparison = {
    plain: await read('I sat by the bank'),
    deposit: await read('I went to the bank to deposit money'),
    control: await read('I went to the bank'),
  };
  console.log(report(comparison));
} catch (error) {
  if (!(error instanceof MissingPackage || error instanceof ServiceUnreachable)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
