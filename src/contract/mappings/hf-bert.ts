import { FOREIGN, linearMaps, type Mapping } from './mapping.ts';

/** BERT, RoBERTa and their kin in Hugging Face Transformers: linear maps [out, in], attention to both sides. */
export const hfBert: Mapping = {
  ...FOREIGN,
  name: 'hf_bert',
  title: 'BERT and RoBERTa of Hugging Face Transformers',
  modules: ['attention.', ''],
  namings: [linearMaps({ 'self.query': 'q', 'self.key': 'k', 'self.value': 'v', 'output.dense': 'o' })],
  ignored: /^output\.LayerNorm\./,
  options: { layout: 'out_in' },
};
