/** What the engine is told of a request that comes, before its body is read. */
export interface Arrival {
  /** Size of the body. */
  readonly bytes: number;
  /** How long it may stay. */
  readonly lifetimeMs: number;
  /** Whether it is what requests that have been admitted wait for, and takes none of their places. */
  readonly isErrand: boolean;
  /** Who sends one request after the answer to the other, such as a connection; undefined where nobody says. */
  readonly caller?: object | undefined;
}
