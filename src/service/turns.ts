/** Things that are done one after the other, in the order in which they were asked for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Does a thing when all before it are done, well or badly. */
  take<Result>(run: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(run);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** Turns of their own for things of each key. */
export class KeyedTurns {
  readonly #queues = new Map<string, { readonly turns: Turns; waiting: number }>();

  /** Does a thing when all before it that have its key are done, well or badly. */
  take<Result>(key: string, run: () => Promise<Result>): Promise<Result> {
    const queue = this.#queues.get(key) ?? { turns: new Turns(), waiting: 0 };
    this.#queues.set(key, queue);
    queue.waiting++;
    return queue.turns.take(run).finally(() => {
      if (--queue.waiting === 0) this.#queues.delete(key);
    });
  }
}
