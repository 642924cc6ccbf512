// What the module exports; src/kernels/wasm/module.ts has the face of it.
export { attend, beginPanel, finishPanel, panelBytes } from './attend';
export { packKeys } from './keys';
export { logitRows, weigh, weightRows } from './maps';
export { packHeight, packLaneColumns, packLanes } from './pack';
export { project, storeColumns } from './project';
export { packQueries } from './scores';
export { heapBase, setAddends, setHead, setKeys } from './state';
