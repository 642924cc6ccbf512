/** What the name of a layer is made of: nothing of it could be anything but the name of a file. */
export const LAYER_NAME = '^[a-z0-9][a-z0-9._-]{0,63}$';

const PATTERN = new RegExp(LAYER_NAME);

export function isLayerName(text: string): boolean {
  return PATTERN.test(text);
}
