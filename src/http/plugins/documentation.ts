import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import fp from 'fastify-plugin';
import { documentOptions } from '../openapi/document.ts';

export interface DocumentationOptions {
  readonly version: string;
}

/** The OpenAPI document, made from the routes registered after this, and Swagger UI on it. */
export const documentation = fp<DocumentationOptions>(async (app, { version }) => {
  await app.register(swagger, documentOptions(version));
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    transformStaticCSP: restrict,
    theme: { title: 'Attention API' },
    uiConfig: {
      // Without the bar on top, which asks for the address of another document.
      layout: 'BaseLayout',
      deepLinking: true,
      displayRequestDuration: true,
      tryItOutEnabled: true,
      defaultModelsExpandDepth: 0,
      validatorUrl: null,
    },
  });

  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/json').send(`${JSON.stringify(app.swagger(), null, 2)}\n`),
  );
  app.get('/openapi.yaml', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/yaml').send(await documentAsYaml(app.swagger())),
  );
});

/** The library is loaded when somebody asks for it, which a start need not wait for. */
async function documentAsYaml(document: object): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(document, { aliasDuplicateObjects: false, lineWidth: 110 });
}

/** Swagger UI's own policy, without other origins, and without upgrading to https what may be served over http. */
function restrict(policy: string): string {
  return policy
    .replace(/ https:/g, '')
    .replace(' validator.swagger.io', '')
    .replace(/ upgrade-insecure-requests;/, '');
}
