/** Which methods each address takes, for telling a wrong method (405) from a wrong address (404). */
export class RouteTable {
  readonly #routes = new Map<string, { pattern: URLPattern; methods: Set<string> }>();

  add(url: string, method: string | readonly string[]): void {
    const route = this.#routes.get(url) ?? {
      pattern: new URLPattern({ pathname: url }),
      methods: new Set<string>(),
    };
    for (const one of [method].flat()) route.methods.add(one);
    this.#routes.set(url, route);
  }

  methodsAt(path: string): string[] {
    const methods = new Set<string>();
    for (const route of this.#routes.values()) {
      if (!route.pattern.test({ pathname: path })) continue;
      for (const method of route.methods) methods.add(method);
    }
    return methods.size === 0 ? [] : [...methods, 'OPTIONS'];
  }
}
