/** A collector of traces that keeps the spans which it gets as JSON. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { until } from './server.ts'
import type { Cleanup } from './server.ts'

/** A span as in OTLP's JSON, with its attributes as an object. */
export interface ReceivedSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly status: { readonly code: number }
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly attributes: Readonly<Record<string, unknown>>
  readonly resource: Readonly<Record<string, unknown>>
}

export interface Receiver {
  readonly url: string
  readonly spans: readonly ReceivedSpan[]
  /** Content types of the requests so far, and the bodies of those that were not JSON. */
  readonly contentTypes: readonly string[]
  readonly bodies: readonly Buffer[]
  /** Waits for the first span that `matches`. */
  span(matches: (span: ReceivedSpan) => unknown): Promise<ReceivedSpan>
}

interface Attribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

type RawSpan = Omit<ReceivedSpan, 'attributes' | 'resource' | 'links'> & {
  readonly attributes: readonly Attribute[]
  readonly links?: ReceivedSpan['links']
}

interface Payload {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly RawSpan[] }[]
  }[]
}

/** Starts a collector on a free port. It is closed after the test. */
export async function receiveTraces(t: Cleanup): Promise<Receiver> {
  const spans: ReceivedSpan[] = []
  const contentTypes: string[] = []
  const bodies: Buffer[] = []
  const server = createServer((request, response) => void receive(request, response))
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(request)
    const { 'content-type': contentType = '' } = request.headers
    contentTypes.push(contentType)
    if (contentType === 'application/json')
      spans.push(...spansIn(JSON.parse(body.toString()) as Payload))
    else bodies.push(body)
    response.end()
  }
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    contentTypes,
    bodies,
    span: (matches) => until(() => spans.find(matches)),
  }
}

function spansIn({ resourceSpans }: Payload): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap(({ spans }) => spans)
      .map((span) => ({
        ...span,
        links: span.links ?? [],
        attributes: valuesOf(span.attributes),
        resource: valuesOf(resource.attributes),
      })),
  )
}

/** The value of an attribute is an object with one property, which tells its type. */
function valuesOf(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
}
