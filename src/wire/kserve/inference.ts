/** What the answer of an inference request is to look like. Plain data, so that it can be handed to another thread. */
export interface InferenceResponse {
  readonly model: string;
  readonly version?: string | undefined;
  /** As the request named itself. */
  readonly id?: string | undefined;
  /** The outputs that were asked for, in this order; null for all that there are. */
  readonly outputs: readonly RequestedOutput[] | null;
  /** Whether outputs that were not asked for by name are sent as bytes. */
  readonly binary: boolean;
}

export interface RequestedOutput {
  readonly name: string;
  readonly binary: boolean;
}
