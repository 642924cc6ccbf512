/** What a promise gives, or the reason of the signal, if there is one, where that is aborted before. */
export async function unlessAborted<Result>(
  promise: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return promise;
  // Whatever becomes of it then is nobody's any more.
  promise.catch(() => {});
  signal.throwIfAborted();
  // Not by Promise.withResolvers: the client, which has this too, runs where that is not there yet.
  let abort = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
