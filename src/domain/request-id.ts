/** What names a request in the log, and is safe to write there and to send back. */
export const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;
