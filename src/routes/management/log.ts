/** `GET /logs`: the last lines of the log. */
import { Type } from '@sinclair/typebox'
import { pino } from 'pino'
import { stringEnum } from '../../schema.ts'
import type { App, RouteContext } from '../route-context.ts'
import { errorResponses } from '../schemas.ts'
import { takeParameters } from './parameters.ts'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 1000
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

const lineNumber = (description: string) =>
  Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description })

const LogQuery = Type.Object(
  {
    model: Type.Optional(Type.String({ description: 'Only lines about this model.' })),
    level: Type.Optional(stringEnum(LEVELS, { description: 'Minimum level.' })),
    after: Type.Optional(
      lineNumber('Only lines after this number. Default: 0, which means all that are kept.'),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_LIMIT,
        description: `Maximum number of lines; the newest are returned. Default: ${DEFAULT_LIMIT}.`,
      }),
    ),
  },
  { additionalProperties: false },
)

const LogPage = Type.Object({
  last: lineNumber('Number of the last line. Send it as `after` to get the lines since then.'),
  lines: Type.Array(Type.Unsafe<LogEntry>({ type: 'object', additionalProperties: true }), {
    description: 'Lines of the log, oldest first.',
  }),
})

type LogEntry = Readonly<Record<string, unknown>>

/** Adds the route. The server keeps about 1 000 lines of requests and 1 000 others. */
export function logRoute(app: App, context: RouteContext): void {
  app.get(
    '/logs',
    {
      schema: {
        operationId: 'recentLog',
        summary: 'Show the last lines of the log',
        tags: ['management'],
        querystring: LogQuery,
        response: { 200: LogPage, ...errorResponses },
      },
      preValidation: takeParameters(LogQuery, context),
    },
    async ({ query }, reply) => {
      const { model, level = 'trace', after = 0, limit = DEFAULT_LIMIT } = query
      const { recentLog } = context
      const least = numberOf(level)
      const lines = recentLog
        .after(after)
        .map((line) => JSON.parse(line) as LogEntry)
        .filter((line) => numberOf(line['level']) >= least)
        .filter((line) => model === undefined || line['model'] === model)
      return reply.send({ last: recentLog.last, lines: lines.slice(-limit) })
    },
  )
}

/** pino writes levels as numbers, or as names with the log format `json-iso`. */
function numberOf(level: unknown): number {
  return typeof level === 'number' ? level : (pino.levels.values[String(level)] ?? 0)
}
