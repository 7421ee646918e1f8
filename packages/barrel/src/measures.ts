/** What the proxy counts of itself. */
export class Measures {
  /** Of clients, open now. */
  connections = 0;
  /** To dockerd, for them. */
  upstreams = 0;
  #passed = 0;
  #intercepted = 0;
  readonly #calls = new Map<string, { count: number; failed: number; ms: number }>();

  request(intercepted: boolean): void {
    if (intercepted) this.#intercepted += 1;
    else this.#passed += 1;
  }

  handled(kind: string, ms: number, failed: boolean): void {
    const call = this.#calls.get(kind) ?? { count: 0, failed: 0, ms: 0 };
    this.#calls.set(kind, { count: call.count + 1, failed: call.failed + (failed ? 1 : 0), ms: call.ms + ms });
  }

  /** In Prometheus' text form. */
  text(): string {
    const calls = [...this.#calls];
    const lines = [
      ...family('eru_barrel_connections', 'gauge', 'Open connections of clients.', [['', this.connections]]),
      ...family('eru_barrel_upstreams', 'gauge', 'Open connections to dockerd.', [['', this.upstreams]]),
      ...family('eru_barrel_requests_total', 'counter', 'Requests, by whether the answer was ours to give.', [
        ['{intercepted="false"}', this.#passed],
        ['{intercepted="true"}', this.#intercepted],
      ]),
      ...family(
        'eru_barrel_calls_failed_total',
        'counter',
        'Intercepted calls that met a failure of dockerd or the network.',
        calls.map(([kind, { failed }]) => [`{call="${kind}"}`, failed]),
      ),
      ...family('eru_barrel_call_seconds', 'summary', 'How long intercepted calls took.', []),
      ...calls.flatMap(([kind, { count, ms }]) => [
        `eru_barrel_call_seconds_sum{call="${kind}"} ${ms / 1000}`,
        `eru_barrel_call_seconds_count{call="${kind}"} ${count}`,
      ]),
    ];
    return `${lines.join('\n')}\n`;
  }
}

function family(name: string, type: string, help: string, samples: readonly (readonly [string, number])[]): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(([labels, value]) => `${name}${labels} ${value}`),
  ];
}
