import { FOREIGN, linearMaps, type Mapping } from './mapping.ts';

/**
 * Llama, Mistral, Qwen2 and their kin in Hugging Face Transformers: linear maps [out, in], fewer key/value heads than
 * query heads, rotary positions in halves, causal. theta is `rope_theta` of the model's config.json; the file has it not.
 */
export const hfLlama: Mapping = {
  ...FOREIGN,
  infersKvHeads: true,
  name: 'hf_llama',
  title: 'Llama, Mistral and Qwen2 of Hugging Face Transformers',
  modules: ['self_attn.', ''],
  namings: [linearMaps({ q_proj: 'q', k_proj: 'k', v_proj: 'v', o_proj: 'o' })],
  ignored: /^rotary_emb\.inv_freq$/,
  options: { layout: 'out_in', causal: 'upper_left', rope: { pairing: 'half' } },
};
