/**
 * Places for what is kept in the memory of a module from call to call, by name, one behind the other. Where there is no
 * room left, what came first stays: of more than there is room for, asked for in turn, some is found that way, and
 * nothing where the oldest gave way. What nobody asks for any more is given up when as much has been refused since
 * anything was found as there is room for.
 */
export class Shelf {
  readonly #from: number;
  readonly #bytes: number;
  readonly #places = new Map<string, number>();
  #end: number;
  #refused = 0;

  /** `bytes` from the address `from` on. */
  constructor(from: number, bytes: number) {
    this.#from = from;
    this.#bytes = bytes;
    this.#end = from;
  }

  /** Where the last one ends. */
  get end(): number {
    return this.#end;
  }

  /** Where that of this name stands; undefined where it does not. */
  find(name: string): number | undefined {
    const at = this.#places.get(name);
    if (at !== undefined) this.#refused = 0;
    return at;
  }

  /** Whether there is room for so many bytes at the end; makes room where it is time to. */
  hasRoom(bytes: number): boolean {
    if (bytes > this.#bytes) return false;
    if (this.#end + bytes <= this.#from + this.#bytes) return true;
    this.#refused += bytes;
    if (this.#refused <= this.#bytes) return false;
    this.#places.clear();
    this.#end = this.#from;
    this.#refused = 0;
    return true;
  }

  /** Keeps what has been put at the end. */
  add(name: string, bytes: number): void {
    this.#places.set(name, this.#end);
    this.#end += bytes;
  }
}
