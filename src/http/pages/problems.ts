import { PROBLEM_CODES, Problem, type ProblemCode } from '../../domain/problem.ts';
import { PROBLEM_EXPLANATIONS } from '../openapi/problem-catalogue.ts';
import { html, page } from './html.ts';

/** Explains one kind of problem; the `type` of a problem response leads here. */
export function renderProblem(code: ProblemCode): string {
  const { status, title } = new Problem(code, '');
  const { meaning, remedy, detail } = PROBLEM_EXPLANATIONS[code];
  return page(
    `${title} · Attention API`,
    '../',
    html`<main>
<header class="intro"><h1>${title}</h1><p class="lead"><code>${code}</code> · HTTP ${status}</p></header>
<h2>What it means</h2><p>${meaning}</p>
<h2>What to do</h2><p>${remedy}</p>
<h2>One that happens</h2><pre>${detail}</pre>
<nav class="doors" aria-label="More"><a href="../problems">Every problem</a><a href="../docs">API documentation</a></nav>
</main>`,
  );
}

/** Lists every kind of problem. */
export function renderProblemIndex(): string {
  const rows = PROBLEM_CODES.map((code) => {
    const { status, title } = new Problem(code, '');
    return html`<tr><td>${status}</td><td><a href="./problems/${code}"><code>${code}</code></a></td><td>${title}</td></tr>
`;
  });
  return page(
    'Problems · Attention API',
    './',
    html`<main>
<header class="intro"><h1>Problems</h1>
<p class="lead">Every way in which a request can be refused or fail (RFC 9457).</p></header>
<div class="table"><table>
<thead><tr><th scope="col">Status</th><th scope="col">Code</th><th scope="col">Title</th></tr></thead>
<tbody>
${rows}</tbody></table></div>
</main>`,
  );
}
