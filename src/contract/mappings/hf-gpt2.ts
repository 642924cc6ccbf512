import { FOREIGN, linearMaps, type Mapping } from './mapping.ts';

/**
 * GPT-2 in Hugging Face Transformers, whose Conv1D keeps its weight as [in, out]: c_attn is [D, 3·D], q, k and v side by
 * side. `bias` and `masked_bias` are the causal mask as older files keep it.
 */
export const hfGpt2: Mapping = {
  ...FOREIGN,
  name: 'hf_gpt2',
  title: 'GPT-2 of Hugging Face Transformers',
  modules: ['attn.', ''],
  namings: [linearMaps({ c_attn: 'qkv', c_proj: 'o' })],
  ignored: /^(?:masked_)?bias$/,
  options: { layout: 'in_out', causal: 'upper_left' },
};
