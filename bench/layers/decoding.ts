import { DECODE_LOADS, measureDecode, shareOf } from '../decode.ts';
import { PeakMeter } from '../peak.ts';
import type { Row } from './table.ts';

/** Tokens on their way through sessions of 4096, beside reading the same bytes again and again. */
export async function measureDecoding(): Promise<Row[]> {
  const meter = await PeakMeter.build();
  const rows: Row[] = [];
  try {
    for (const load of DECODE_LOADS) {
      const speed = await measureDecode(load, meter);
      const { threads, sessions } = load;
      const where = `D768 cache 4096, ${threads} thread${threads === 1 ? '' : 's'}`;
      rows.push({
        title:
          sessions === 1
            ? `decoding step of a session, ${where}`
            : `of ${sessions} sessions at once, ${where}`,
        samples: speed.samples,
        figure: `of the bandwidth: ${shareOf(speed)}`,
        asked: '80 %',
      });
    }
  } finally {
    await meter?.close();
  }
  return rows;
}
