import { RecentMap } from './recent-map.ts';

const TEXTS = 64;
const LONGEST_TEXT = 256;

/**
 * `read`, whose result hangs on nothing but its text, with a memory of what it has made of those that came lately: clients
 * send the same few headers with each request. Longer texts, and those it makes nothing of, are read each time.
 */
export function remembering<Result>(read: (text: string) => Result): (text: string) => Result {
  const known = new RecentMap<string, NonNullable<Result>>(TEXTS);
  return (text) => {
    const seen = known.get(text);
    if (seen !== undefined) return seen;
    const result = read(text);
    if (result !== undefined && result !== null && text.length <= LONGEST_TEXT) known.set(text, result);
    return result;
  };
}
