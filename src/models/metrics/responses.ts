import type { Registry } from 'prom-client'
import type { StatusCounts } from './counts.ts'
import { addCounter } from './families.ts'
import type { Sample } from './families.ts'

/** Adds the responses of each listener. The gRPC listener appears with its first call. */
export function addResponses(
  registry: Registry,
  responses: Readonly<Record<string, StatusCounts>>,
): void {
  addCounter(
    registry,
    {
      name: 'onnxd_http_responses_total',
      help: 'HTTP responses, including those for unknown models and paths.',
      labelNames: ['listener', 'status_class'],
    },
    () =>
      Object.entries(responses)
        .filter(([listener, counts]) => listener !== 'grpc' || counts.total > 0)
        .flatMap(([listener, counts]) =>
          counts.entries.map(([status_class, count]): Sample => [
            { listener, status_class },
            count,
          ]),
        ),
  )
}
