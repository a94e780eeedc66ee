import { addPages, countsOf, pageText, parsePage, withoutUnserved } from './metric-pages.ts'
import type { Page } from './metric-pages.ts'

/** A process that is asked for its page. */
export interface MetricSource {
  readonly index: number
  /** Returns its page; `undefined` if it does not answer in time. */
  ask(question: { about: 'metrics'; names: readonly string[] }): Promise<unknown>
}

/**
 * The metrics of all HTTP processes together. A counter never falls because a process has ended, or
 * does not answer: then its last page counts.
 */
export class MetricTotals {
  readonly #last = new Map<MetricSource, Page>()
  /** What the processes that have ended had counted when they were last asked. */
  #gone: Page = new Map()

  /**
   * @param own The page of process 0.
   * @param names The families that are wanted; all if it is empty.
   */
  async text(
    own: string,
    sources: readonly MetricSource[],
    names: readonly string[],
  ): Promise<string> {
    const page = parsePage(own)
    const pages = new Map<number, Page>([[0, page]])
    const answers = await Promise.all(
      sources.map(
        async (source) => [source, await source.ask({ about: 'metrics', names })] as const,
      ),
    )
    for (const [source, answer] of answers) {
      const answered = typeof answer === 'string' ? parsePage(answer) : undefined
      if (answered !== undefined && names.length === 0) this.#last.set(source, answered)
      pages.set(source.index, answered ?? chosen(this.#last.get(source), page))
    }
    // A model that is unregistered has no series, and begins at 0 when it is registered again.
    if (names.length === 0) this.#gone = withoutUnserved(this.#gone, page)
    return pageText(addPages(pages, this.#gone))
  }

  /** Keeps what a process has counted. */
  end(source: MetricSource): void {
    const page = this.#last.get(source)
    this.#last.delete(source)
    if (page === undefined) return
    const gone = new Map([[0, countsOf(page)]])
    this.#gone = addPages(this.#gone.size === 0 ? gone : gone.set(1, this.#gone))
  }
}

/** The families of an earlier page that another page has. */
function chosen(page: Page | undefined, like: Page): Page {
  return new Map([...(page ?? [])].filter(([name]) => like.has(name)))
}

/** The metrics about the processes themselves. Process 0 always listens. */
export function processMetrics(
  running: readonly { readonly listeningSince: number | undefined }[],
  restarts: Readonly<Record<string, number>>,
  names: readonly string[],
): string {
  const listening = running.filter((one) => one.listeningSince !== undefined).length
  const families = [
    [
      'onnxd_http_processes',
      'HTTP processes by state.',
      'gauge',
      [
        ['state="listening"', listening + 1],
        ['state="starting"', running.length - listening],
      ],
    ],
    [
      'onnxd_http_process_restarts_total',
      'HTTP processes that were replaced, by the cause of the end of the previous one.',
      'counter',
      Object.entries(restarts).map(([cause, count]) => [`cause="${cause}"`, count]),
    ],
  ] as const
  const wanted = families.filter(([name]) => names.length === 0 || names.includes(name))
  const texts = wanted.map(([name, help, type, samples]) => {
    const lines = samples.map(([label, value]) => `${name}{${label}} ${value}`)
    return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ''].join('\n')
  })
  return texts.join('\n')
}
