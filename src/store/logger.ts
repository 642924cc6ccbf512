/** What a store says to whoever looks after it. */
export interface StoreLogger {
  error(details: object, message: string): void;
}
