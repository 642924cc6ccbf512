import { FOREIGN, type Mapping, type Naming } from './mapping.ts';

const shared: Naming = {
  in_proj_bias: { field: 'projections.b_qkv', isOptional: true },
  'out_proj.weight': { field: 'projections.w_o' },
  'out_proj.bias': { field: 'projections.b_o', isOptional: true },
  bias_k: { field: 'k_extra', isOptional: true, isVector: true },
  bias_v: { field: 'v_extra', isOptional: true, isVector: true },
};

/**
 * PyTorch's nn.MultiheadAttention. `in_proj_weight` is W_Q, W_K, W_V one over the other, [3·D, D]; they come apart where
 * kdim or vdim differs, and in_proj_bias stays one. bias_k and bias_v are [1, 1, D].
 */
export const torch: Mapping = {
  ...FOREIGN,
  name: 'torch',
  title: "PyTorch's nn.MultiheadAttention",
  modules: ['', 'self_attn.'],
  namings: [
    { in_proj_weight: { field: 'projections.w_qkv' }, ...shared },
    {
      q_proj_weight: { field: 'projections.w_q' },
      k_proj_weight: { field: 'projections.w_k' },
      v_proj_weight: { field: 'projections.w_v' },
      ...shared,
    },
  ],
  ignored: null,
  options: { layout: 'out_in' },
};
