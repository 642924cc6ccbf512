/** Which methods each address takes, for telling a wrong method (405) from a wrong address (404). */
export class RouteTable {
  readonly #routes = new Map<string, { pattern: RegExp; methods: Set<string> }>();

  add(url: string, method: string | readonly string[]): void {
    const route = this.#routes.get(url) ?? { pattern: patternOf(url), methods: new Set<string>() };
    for (const one of [method].flat()) route.methods.add(one);
    this.#routes.set(url, route);
  }

  /** The methods at a path, or those of the whole server at `*`; none where there is no such address. */
  methodsAt(path: string): string[] {
    const methods = new Set<string>();
    for (const route of this.#routes.values()) {
      if (path !== '*' && !route.pattern.test(path)) continue;
      for (const method of route.methods) methods.add(method);
    }
    return methods.size === 0 ? [] : [...methods, 'OPTIONS'];
  }
}

/**
 * The paths that the router takes for a route: a parameter is one segment as it stands, be it `..` or empty, and a
 * wildcard is all the rest. (URLPattern would resolve the dots first.)
 */
function patternOf(url: string): RegExp {
  const pattern = url.replace(/:[^/]+|[.*+?^$(){}|[\]\\]/g, (part) => {
    if (part === '*') return '.*';
    return part.startsWith(':') ? '[^/]*' : `\\${part}`;
  });
  return new RegExp(`^${pattern}$`);
}
