import { html, type Markup, page } from './html.ts';

/** A call that was made to the service, and what came back. */
export interface WorkedCall {
  readonly path: string;
  readonly request: object;
  readonly response: WorkedResponse;
}

/** What the page reads of the response to one query over two keys. */
export interface WorkedResponse {
  readonly output: number[][];
  readonly weights: number[][][];
  readonly logits: number[][][];
}

export interface Operation {
  readonly method: string;
  readonly path: string;
  readonly summary: string;
  readonly operationId: string;
  readonly tag: string;
}

export interface Landing {
  readonly version: string;
  readonly origin: string;
  readonly call: WorkedCall;
  readonly operations: readonly Operation[];
}

/** The front page: one call worked through with the numbers of this very service, and the ways on from there. */
export function renderLanding({ version, origin, call, operations }: Landing): string {
  return page(
    'Attention API',
    './',
    html`<main>
<header class="intro">
<h1>Attention API</h1>
<p class="lead">Attention as a service: token embeddings and projection weights in; outputs, attention maps and every
number on the way out.</p>
<nav class="doors" aria-label="Documentation">
<a href="./docs">API documentation</a>
<a href="./openapi.json">OpenAPI (JSON)</a>
<a href="./openapi.yaml">OpenAPI (YAML)</a>
<a href="./v1/info">Limits and kernels</a>
</nav>
</header>
${workedSteps(call.response)}
${editor(call)}
<section aria-labelledby="shell">
<h2 id="shell">From a shell</h2>
<pre tabindex="0" aria-label="curl command">${curl(origin, call)}</pre>
</section>
${operationTable(operations)}
</main>
<footer>Attention API ${version} · errors are <a href="./problems">explained</a></footer>`,
    ['landing.js'],
  );
}

function workedSteps({ logits, weights, output }: WorkedResponse): Markup {
  const [first, second] = logits[0][0];
  const [a, b] = weights[0][0];
  return html`<section aria-labelledby="worked">
<h2 id="worked">One query, worked through</h2>
<p>The query q = [1, 2] looks at two keys, k₁ = [1, 0] and k₂ = [0, 2], which stand for the values 4 and 10.</p>
<ol class="steps">
<li class="card"><h3>1 · Scores: q · k</h3>
<div><code>q · k₁ = 1·1 + 2·0 = ${first}</code></div>
<div><code>q · k₂ = 1·0 + 2·2 = ${second}</code></div></li>
<li class="card"><h3>2 · Weights: softmax</h3>
<div><code>${round(a)}</code> <meter min="0" max="1" value="${a}" aria-label="weight of the first key"></meter></div>
<div><code>${round(b)}</code> <meter min="0" max="1" value="${b}" aria-label="weight of the second key"></meter></div>
<div class="formula">eˢ of each score over their sum; together they are 1.</div></li>
<li class="card"><h3>3 · Output: the weighted sum of the values</h3>
<code>${round(a)} · 4 + ${round(b)} · 10 = ${round(output[0][0])}</code></li>
</ol>
</section>`;
}

function editor({ path, request, response }: WorkedCall): Markup {
  return html`<section aria-labelledby="try">
<h2 id="try">The same call, by HTTP</h2>
<p>This was computed by the service when it made this page. Change the request and send it again.</p>
<form id="call" data-action=".${path}">
<div class="columns">
<div><h3><label for="request">Request to <code>${path}</code></label></h3>
<textarea id="request" spellcheck="false" autocomplete="off" readonly>${pretty(request)}</textarea></div>
<div><h3 id="response-title">Response</h3>
<pre id="response" tabindex="0" aria-labelledby="response-title">${pretty(response)}</pre></div>
</div>
<div class="run"><button type="submit" hidden>Send</button> <span id="status" class="status" role="status"></span></div>
</form>
</section>`;
}

function operationTable(operations: readonly Operation[]): Markup {
  const rows = operations.map(
    ({ method, path, summary, operationId, tag }) =>
      html`<tr><td><a href="./docs#/${encodeURIComponent(tag)}/${operationId}"><code>${method} ${path}</code></a></td><td>${summary}</td></tr>
`,
  );
  return html`<section aria-labelledby="operations">
<h2 id="operations">Every operation</h2>
<div class="table" tabindex="0" role="region" aria-labelledby="operations"><table>
<thead><tr><th scope="col">Address</th><th scope="col">What it does</th></tr></thead>
<tbody>
${rows}</tbody>
</table></div>
</section>`;
}

function curl(origin: string, { path, request }: WorkedCall): string {
  return `curl ${origin}${path} -H 'Content-Type: application/json' -d '${JSON.stringify(request)}'`;
}

/** Indented JSON with arrays of numbers on one line. */
function pretty(value: object): string {
  return JSON.stringify(value, null, 2).replaceAll(/\[[^[\]{}]*\]/g, (array) =>
    array.replaceAll(/\s+/g, ' '),
  );
}

function round(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}
