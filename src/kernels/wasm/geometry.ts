/* The shapes that the module works in; as in assembly/simd.ts and assembly/state.ts. */

/** Tokens or columns side by side in a panel of operand B and of every result. */
export const LANES = 8;
/** Rows side by side in a panel of operand A. */
export const HEIGHT = 6;
/** Keys that are taken at a time. */
export const BLOCK = 192;
