/**
 * Raw HTTP against both listeners. Each request must get a complete response, or the connection is
 * closed.
 */
import assert from 'node:assert/strict'
import { createConnection } from 'node:net'
import { test } from 'node:test'
import { assertUnharmed, heldBy, isFull, size, startLaboratory } from '../faults/harness.ts'
import type { RandomNumbers } from '../helpers/random.ts'
import { Mutator, checkFuzz, corpus, pick } from './fuzz.ts'
import { responsesOf } from './http-responses.ts'

/** At a time. */
const CONNECTIONS = 12
/** Requests in a row on one connection. */
const PIPELINE = 40
/** Longer than anything here takes, on a busy machine. */
const PATIENCE_MS = 60_000
const FIXTURES = corpus<string>('http').map((text) => Buffer.from(text, 'latin1'))
const METHODS = [
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'PROPFIND',
  'TRACE',
  'get',
  'G€T',
  '',
]
/** Names of no model: an injured request must not unregister the one that the test looks at. */
const PATHS = {
  inference: [
    '/ping',
    '/predictions/reference',
    '/v2/models/reference/infer',
    '/v1/models/reference:predict',
    '/v2/health/ready',
    '/v2',
    '/docs',
    '/openapi.json',
    '/invocations?model_name=reference',
    '/models/none/invoke',
    '/none',
    '/%zz',
    '//',
    '/predictions/%00',
    'http://x/ping',
    '*',
    '/predictions/reference?a=%ff',
  ],
  management: [
    '/ping',
    '/models',
    '/models/none',
    '/models?limit=-1&next_page_token=x',
    '/models?url=none.onnx',
    '/models/none/1.0/set-default',
    '/metrics',
    '/v2/repository/index',
    '/v2/repository/models/none/load',
    '/models/none?min_worker=-1',
    '/none',
    '/%2e%2e/%2e%2e',
  ],
} as const
const HEADERS = [
  'Host: x',
  'Host: x',
  'Host: x',
  'Host:',
  'Connection: close',
  'Connection: keep-alive, x',
  'Accept: */*',
  'Accept-Encoding: gzip',
  'Content-Type: application/json',
  'Content-Type: text/plain',
  'Content-Type: multipart/form-data; boundary=b',
  'Content-Type: application/x-www-form-urlencoded',
  'Content-Type: \x01',
  'Expect: 100-continue',
  'Expect: cake',
  'Upgrade: websocket',
  'X-Request-Id: a b',
  'Inference-Header-Content-Length: 5',
  'Content-Encoding: gzip',
  'Content-Encoding: br',
  'Origin: http://evil',
  'Onnxd-Priority: x',
  'Onnxd-Timeout-Ms: 1',
  ' folded',
  'no colon',
  ': empty',
  `X-Long: ${'l'.repeat(300)}`,
]
const BODIES = [
  '',
  '',
  '{}',
  '{"features":[[5.1,3.5,1.4,0.2]]}',
  '{"inputs":[]}',
  '[1,2',
  '--b\r\n\r\nx\r\n--b--',
  'a=b&c=%zz',
  '\0\xff',
  '{"url":"none.onnx"}',
]
const FRAMINGS = [
  'Content-Length: -1',
  'Content-Length: 5, 5',
  'Content-Length: 99999999999999999999',
  'Content-Length: +1',
  'Content-Length: 0\r\nContent-Length: 7',
  'Transfer-Encoding: chunked\r\nContent-Length: 3',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: x',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding: chunked',
]
const CHUNKS = [
  '0\r\n\r\n',
  '2\r\n{}\r\n0\r\n\r\n',
  '2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n',
  'zz\r\n',
  'ffffffffffffffff\r\n',
  '-1\r\n',
  '1\r\nab\r\n',
  '\r\n',
  '1\n{\n',
]
const TOKENS = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  ' ',
  '\0',
  '\xff',
  ':',
  '/',
  '%00',
  'HTTP/1.0',
  'HTTP/2.0',
  'HTTP/1.1',
  'chunked',
  'Content-Length: 4\r\n',
  'Host: y\r\n',
  ...FRAMINGS,
]

type Listener = keyof typeof PATHS

/** A request that ends where it says, whatever else is wrong with it. */
function framedRequest(random: RandomNumbers, listener: Listener): Buffer {
  const body = Buffer.from(pick(random, BODIES), 'latin1')
  const headers = [
    'Host: x',
    ...Array.from({ length: random.integer(0, 3) }, () => pick(random, HEADERS.slice(5, 23))),
  ]
  const line = `${pick(random, METHODS.slice(0, 8))} ${pick(random, PATHS[listener])} HTTP/1.1`
  if (random.next() < 0.2) {
    const chunks =
      body.length === 0 ? '' : `${body.length.toString(16)}\r\n${body.toString('latin1')}\r\n`
    return Buffer.from(
      [line, ...headers, 'Transfer-Encoding: chunked', '', `${chunks}0\r\n\r\n`].join('\r\n'),
      'latin1',
    )
  }
  const head = [line, ...headers, `Content-Length: ${body.length}`, '', ''].join('\r\n')
  return Buffer.concat([Buffer.from(head, 'latin1'), body])
}

/** A request out of pieces that need not fit, and injured. */
function wildRequest(random: RandomNumbers, mutator: Mutator, listener: Listener): Buffer {
  const framed = framedRequest(random, listener)
  if (random.next() < 0.4) return Buffer.from(mutator.mutate(framed, pick(random, FIXTURES), 4))
  const headers = Array.from({ length: random.integer(0, 5) }, () => pick(random, HEADERS))
  const line = `${pick(random, METHODS)} ${pick(random, PATHS[listener])} ${pick(random, ['HTTP/1.1', 'HTTP/1.0', 'HTTP/9.9', ''])}`
  const parts = [line, ...headers, pick(random, FRAMINGS), '', pick(random, [...CHUNKS, ...BODIES])]
  return Buffer.from(mutator.mutate(Buffer.from(parts.join('\r\n'), 'latin1'), framed, 2))
}

/** Sends everything, ends, and reads to the end. A reset after the last response counts as one. */
function exchange(url: string, localAddress: string, bytes: Buffer): Promise<Buffer> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = createConnection({ host: hostname, port: Number(port), localAddress })
    const timer = setTimeout(() => {
      reject(new Error(`no end after ${JSON.stringify(bytes.toString('latin1'))}`))
      socket.destroy()
    }, PATIENCE_MS)
    let hasConnected = false
    socket.on('connect', () => (hasConnected = true))
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', (error) => {
      if (!hasConnected) reject(error)
    })
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(Buffer.concat(chunks))
    })
    socket.end(bytes)
  })
}

/** The end of what was sent or received, for the text of an error. */
const shown = (bytes: Buffer): string => JSON.stringify(bytes.toString('latin1').slice(-1500))

/**
 * Sends valid and damaged requests on one connection, with a random one at the end. Returns how
 * many the server accepted.
 */
async function converse(
  url: string,
  listener: Listener,
  random: RandomNumbers,
  mutator: Mutator,
): Promise<number> {
  const requests = Array.from({ length: random.integer(0, PIPELINE) }, () =>
    framedRequest(random, listener),
  )
  requests.push(
    random.next() < 0.05 ? pick(random, FIXTURES) : wildRequest(random, mutator, listener),
  )
  const bytes = Buffer.concat(requests)
  const answer = await exchange(url, `127.0.0.${random.integer(1, 30)}`, bytes)
  const problem = new Error(`${listener}: ${shown(bytes)}\n got ${shown(answer)}`)
  const statuses = responsesOf(answer, problem)
  // Other 5xx have a reason: a method that is not there, an overload, a version of HTTP.
  assert.ok(
    statuses.every((status) => status !== 500 && status >= 200 && status < 600),
    problem,
  )
  // Only a last response says that the connection ends; what is behind it is not taken.
  return Math.min(Math.max(statuses.length, 1), requests.length)
}

test('the requests of the corpus get whole responses, and the server goes on', async (t) => {
  const server = await startLaboratory(t, { settings: { accessLog: false, logLevel: 'error' } })
  const held = heldBy(server)
  const url = { inference: server.inferenceUrl, management: server.managementUrl }
  for (const [index, request] of FIXTURES.entries()) {
    for (const each of Object.values(url)) {
      const answer = await exchange(each, '127.0.0.1', request)
      const statuses = responsesOf(answer, new Error(`fixture ${index}`))
      assert.ok(
        statuses.every((status) => status < 500 || status === 505),
        `${index}: ${statuses.join()}`,
      )
    }
  }
  await assertUnharmed(server, held)
})

test(
  'no request over either listener costs more than its connection',
  { timeout: 3_000_000 },
  async (t) => {
    const server = await startLaboratory(t, {
      settings: { accessLog: false, logLevel: 'error', allowLocalPaths: false },
    })
    const held = heldBy(server)
    const url = { inference: server.inferenceUrl, management: server.managementUrl }
    await checkFuzz(t, {
      what: 'fuzz: HTTP',
      goal: '≥ 10⁶, 0 crashes',
      total: size(150, 1_000_000),
      perRun: size(75, 5000),
      run: async (random, count) => {
        const mutator = new Mutator(
          random,
          TOKENS.map((token) => Buffer.from(token, 'latin1')),
        )
        let taken = 0
        const work = async (): Promise<void> => {
          while (taken < count) {
            const listener = random.next() < 0.6 ? 'inference' : 'management'
            // Read after the wait: `taken += await …` loses what others counted meanwhile.
            const accepted = await converse(url[listener], listener, random, mutator)
            taken += accepted
          }
        }
        await Promise.all(Array.from({ length: isFull ? CONNECTIONS : 6 }, work))
        return taken
      },
    })
    await assertUnharmed(server, held)
  },
)
