/** gRPC load: calls over one connection, as tritonclient makes them. The bodies are made once. */
import { Agent, request } from 'node:http'
import { connect } from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import type { Load, LoadResult, Request } from './load.ts'

const PREFIX_BYTES = 5
const MIB = 1024 * 1024
const HEADERS = {
  ':method': 'POST',
  ':path': '/inference.GRPCInferenceService/ModelInfer',
  'content-type': 'application/grpc',
  te: 'trailers',
}

/**
 * Keeps `connections` calls in flight.
 * @throws Error if a call fails, because the result would mean nothing.
 */
export async function grpcLoop(address: string, message: Buffer, load: Load): Promise<LoadResult> {
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeUInt32BE(message.length, 1)
  const body = Buffer.concat([prefix, message])
  const session = connect(`http://${address}`, {
    maxSessionMemory: 1024,
    settings: { initialWindowSize: 4 * MIB },
  })
  session.on('connect', () => session.setLocalWindowSize(16 * MIB))
  try {
    return await closedLoop(load, () => call(session, body))
  } finally {
    session.destroy()
  }
}

/**
 * The same for REST, by Node's client too: with `wrk` for one of them only, the comparison would be
 * one of the clients, which share the cores with the server.
 * @throws Error if a request fails.
 */
export async function restLoop({ url, body, headers }: Request, load: Load): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.connections })
  const options = { method: 'POST', agent, headers: { ...headers, 'content-length': body.length } }
  const send = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const sent = request(url, options, (response) => {
        response.resume()
        response.once('end', () =>
          response.statusCode === 200
            ? resolve()
            : reject(new Error(`a request got status ${response.statusCode}`)),
        )
      })
      sent.once('error', reject)
      sent.end(body)
    })
  try {
    return await closedLoop(load, send)
  } finally {
    agent.destroy()
  }
}

async function closedLoop(
  { connections, seconds }: Load,
  send: () => Promise<void>,
): Promise<LoadResult> {
  const latencies: number[] = []
  const startedAt = performance.now()
  const endsAt = startedAt + seconds * 1000
  const loop = async (): Promise<void> => {
    while (performance.now() < endsAt) {
      const sentAt = performance.now()
      await send()
      latencies.push(performance.now() - sentAt)
    }
  }
  await Promise.all(Array.from({ length: connections }, loop))
  const tookSeconds = (performance.now() - startedAt) / 1000
  const sorted = latencies.toSorted((one, other) => one - other)
  const quantile = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? Number.NaN
  return { rate: latencies.length / tookSeconds, p50: quantile(0.5), p99: quantile(0.99), bad: 0 }
}

function call(session: ClientHttp2Session, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request(HEADERS)
    let status: unknown
    const read = (headers: Readonly<Record<string, unknown>>): void => {
      status = headers['grpc-status'] ?? status
    }
    stream.on('response', read)
    stream.on('trailers', read)
    stream.on('error', reject)
    stream.on('close', () =>
      status === '0' ? resolve() : reject(new Error(`a call ended with status ${String(status)}`)),
    )
    stream.resume()
    stream.end(body)
  })
}
