import { Type } from '@sinclair/typebox';

export const TAG = 'KServe v2';

/** For responses that are no results of a call: clients read them as they come, whatever codings they accept. */
export const PLAIN = { responseCodings: [] } as const;

const model = Type.String({ description: 'Name of a model.', examples: ['scaled-dot-product-attention'] });

const MODEL_PARAMS = Type.Object({ model });
const VERSION_PARAMS = Type.Object({
  model,
  version: Type.String({ description: 'There is one version of each model, 1.', examples: ['1'] }),
});

/** Addresses of a model, without and with its version, and what tells their operations apart. */
export const MODEL_ADDRESSES = [
  { url: '/v2/models/:model', params: MODEL_PARAMS, suffix: '', words: '' },
  {
    url: '/v2/models/:model/versions/:version',
    params: VERSION_PARAMS,
    suffix: 'Version',
    words: ', by its version',
  },
] as const;
