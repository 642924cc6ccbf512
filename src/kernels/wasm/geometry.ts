/* The shapes that the module works in; as in assembly/simd.ts and assembly/state.ts. */

/** Tokens or columns side by side in a panel of operand B and of every result. */
export const LANES = 8;
/** Rows side by side in a panel of operand A. */
export const HEIGHT = 6;
/** Keys that are taken at a time. */
export const BLOCK = 192;
/** Terms of a sum over the width of tokens that are taken at a time; as in assembly/project.ts. */
export const DEPTH = 192;
/** What is copied into a module at a time to be packed there: it is still in the second-level cache then. */
export const SLICE_BYTES = 2 ** 17;
