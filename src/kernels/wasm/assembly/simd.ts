// Four lanes, and the few operations that the kernels are written in.

/** Tokens side by side in operand B and in every result: two vectors. */
// @ts-expect-error: decorator
@inline export const PANEL: i32 = 8;
/** Rows of operand A that the inner loop takes at a time. */
// @ts-expect-error: decorator
@inline export const ROWS: i32 = 6;
