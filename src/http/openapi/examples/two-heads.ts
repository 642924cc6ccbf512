/** One vector of four numbers for each of the words "the", "cat" and "sat". */
export const theCatSat = [
  [1, 0, 0.5, 0],
  [0, 1, 0, 1],
  [1, 1, 0, -0.5],
];

export const identity = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
  [0, 0, 0, 1],
];

/** A layer of two heads and width 4. */
export const projections = {
  w_q: [
    [1, 0, 0, 1],
    [0, 1, 1, 0],
    [0, 0, 1, 0],
    [1, 0, 0, 1],
  ],
  w_k: [
    [0, 1, 1, 0],
    [1, 0, 0, 1],
    [1, 1, 0, 0],
    [0, 0, 1, 1],
  ],
  w_v: [
    [1, 0, 0, 0],
    [0, 2, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 2],
  ],
  w_o: identity,
};
