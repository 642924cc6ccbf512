/** The part of a pino logger that the engine uses. */
export interface Logger {
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export const SILENT: Logger = { warn() {}, error() {} };
