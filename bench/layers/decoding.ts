import { measureDecode } from '../decode.ts';
import { PeakMeter } from '../peak.ts';
import type { Row } from './table.ts';

/** A token on its way through a session of 4096, beside reading the same bytes again and again. */
export async function measureDecoding(): Promise<Row[]> {
  const meter = await PeakMeter.build();
  const rows: Row[] = [];
  try {
    for (const threads of [1, 2]) {
      const { samples, ofBandwidth } = await measureDecode(threads, meter);
      const share = ofBandwidth === null ? 'not known' : `${(100 * ofBandwidth).toFixed(0)} %`;
      rows.push({
        title: `decoding step of a session, D768 cache 4096, ${threads} thread${threads === 1 ? '' : 's'}`,
        samples,
        figure: `${share} of re-read bandwidth`,
        asked: '80 %',
      });
    }
  } finally {
    await meter?.close();
  }
  return rows;
}
