const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

const MONTH = `(?<month>${MONTHS.join('|')})`;
const TIME = String.raw`(?<time>\d\d:\d\d:\d\d)`;
const FORMS = [
  // Sun, 06 Nov 1994 08:49:37 GMT: what is to be sent
  String.raw`[A-Z][a-z]{2}, (?<day>\d\d) ${MONTH} (?<year>\d{4}) ${TIME} GMT`,
  // Sunday, 06-Nov-94 08:49:37 GMT: RFC 850
  String.raw`[A-Z][a-z]{5,8}, (?<day>\d\d)-${MONTH}-(?<year>\d\d) ${TIME} GMT`,
  // Sun Nov  6 08:49:37 1994: asctime of C
  String.raw`[A-Z][a-z]{2} ${MONTH} (?<day>[ \d]\d) ${TIME} (?<year>\d{4})`,
].map((form) => new RegExp(`^${form}$`));

/**
 * Reads the date of an HTTP header in each of the three forms that a recipient has to accept (RFC 9110, section 5.6.7).
 * Returns milliseconds since 1970, or undefined where it is none. The day of the week is not looked at.
 */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  for (const form of FORMS) {
    const groups = form.exec(text)?.groups;
    if (groups === undefined) continue;
    const { day = '', month = '', year = '', time = '' } = groups;
    const fullYear = year.length === 2 ? yearOf(Number(year), nowMs) : year;
    const monthNumber = String(MONTHS.indexOf(month) + 1).padStart(2, '0');
    const atMs = Date.parse(`${fullYear}-${monthNumber}-${day.replace(' ', '0')}T${time}Z`);
    return Number.isNaN(atMs) ? undefined : atMs;
  }
  return undefined;
}

/** The last year of these two digits that is not more than 50 years in the future. */
function yearOf(lastDigits: number, nowMs: number): number {
  const latest = new Date(nowMs).getUTCFullYear() + 50;
  return latest - ((latest - lastDigits) % 100);
}
