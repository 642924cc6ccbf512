export const SAFETENSORS = 'application/vnd.safetensors';
export const JSON_TYPE = 'application/json';
