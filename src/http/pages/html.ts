/** Markup that is safe to send: what `html` made, with every value in it escaped. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** A template tag: values are escaped, unless they are markup themselves. */
export function html(
  parts: TemplateStringsArray,
  ...values: (Markup | Markup[] | string | number)[]
): Markup {
  return new Markup(parts.reduce((text, part, index) => text + markupOf(values[index - 1]) + part));
}

function markupOf(value: Markup | Markup[] | string | number): string {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map((one) => one.text).join('');
  return String(value).replaceAll(/[&<>"']/g, (character) => ENTITIES[character]);
}

/** A whole page of this service. `root` is the relative way back to `/`, so that a path prefix does no harm. */
export function page(title: string, root: string, body: Markup, scripts: readonly string[] = []): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${root}assets/site.css">
${scripts.map((script) => html`<script type="module" src="${root}assets/${script}"></script>`)}
</head>
<body>
${body}
</body>
</html>
`.text;
}
