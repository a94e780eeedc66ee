/**
 * Reads the parameters of management requests. They may come in the query, as one JSON object, or
 * as form fields, and have the same meaning in each place.
 */
import { isUtf8 } from 'node:buffer'
import type { TObject, TSchema } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { closestName } from '../../closest-name.ts'
import { ServerError } from '../../errors.ts'
import { plainBody, refuseCompressedForm } from '../http/content-encoding.ts'
import { parseUrlEncoded, readMultipart } from '../http/form.ts'
import { jsonMembers } from '../http/json-object.ts'
import { readValues } from '../http/parameter-values.ts'
import type { RouteContext } from '../route-context.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Notes for the response about accepted parameters that have no effect. */
    parameterNotes: readonly string[]
  }
}

/** Limit for parameters, which are short. The file of a model has its own limit. */
const MAX_BYTES = 1024 * 1024
/**
 * At most this many unknown parameters are named, because the search for the closest known name
 * takes time.
 */
const MAX_NAMED = 10
/** Start of the description of a parameter that is accepted but has no effect. */
const WITHOUT_EFFECT = 'Without effect: '

/**
 * A parameter of a request. The text is `undefined` for an object or a list, which is not a valid
 * value.
 */
type Sent = readonly [name: string, text: string | undefined]

/** Reads the fields of a multipart form. */
export type FormReader = (request: FastifyRequest, reply: FastifyReply) => Promise<readonly Sent[]>

/**
 * For `preValidation`: merges the parameters of the query and the body into `request.query`, which
 * `schema` then validates. As in MMS, a parameter in the body overrides the query.
 * @param readForm Reads a form that may contain a file. The default reads fields only.
 * @throws ServerError 400 for an unknown parameter or one with two values, 415 and 413 for the
 * body.
 */
export function takeParameters(
  schema: TObject,
  { config }: RouteContext,
  readForm: FormReader = readFields,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  return async (request, reply) => {
    const inQuery = sentInQuery(request.query)
    const inBody = await sentInBody(request, reply, readForm)
    const names = new Set([...inQuery, ...inBody].map(([name]) => name))
    const unknown = [...names].filter((name) => !isKnown(schema, name))
    const problems = unknown.slice(0, MAX_NAMED).map((name) => unknownText(name, schema))
    const [first] = problems
    if (first !== undefined) {
      if (!config.lenientParameters) throw new ServerError('BadRequestException', first)
      request.log.warn({ requestId: request.id, problems }, 'unknown parameters are ignored')
    }
    const texts = { ...textsOf(schema, inQuery), ...textsOf(schema, inBody) }
    request.query = texts
    request.parameterNotes = [...problems, ...notesOf(schema, texts)]
  }
}

/** The body of a response: the status text, and notes about parameters without effect. */
export function statusBody(
  { parameterNotes }: FastifyRequest,
  status: string,
): { status: string; notes?: string[] } {
  return { status, ...(parameterNotes.length > 0 && { notes: [...parameterNotes] }) }
}

/** The error text for a name that is not in `schema`. */
export function unknownText(name: string, { properties }: TObject): string {
  const known = Object.keys(properties)
  const closest = closestName(name, known)
  const shown = JSON.stringify(name.slice(0, 100))
  if (closest !== undefined) return `Unknown parameter ${shown}. Did you mean ${closest}?`
  const list = known.length === 0 ? 'There are none here' : `Known are: ${known.join(', ')}`
  return `Unknown parameter ${shown}. ${list}.`
}

function isKnown({ properties }: TObject, name: string): boolean {
  return Object.hasOwn(properties, name)
}

/**
 * The non-empty values of known parameters from the query or the body. Two different values for a
 * name are an error.
 */
function textsOf(schema: TObject, sent: readonly Sent[]): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, text] of sent) {
    if (!isKnown(schema, name) || text === '') continue
    if (text === undefined) {
      const problem = `Parameter ${name} must be a single value, not a list or an object.`
      throw new ServerError('BadRequestException', problem)
    }
    const before = texts[name]
    if (before !== undefined && valueOf(schema, name, before) !== valueOf(schema, name, text)) {
      const shown = [before, text].map((one) => JSON.stringify(one.slice(0, 100))).join(' and ')
      const problem = `Parameter ${name} occurs twice: ${shown}.`
      throw new ServerError('BadRequestException', problem)
    }
    texts[name] = text
  }
  return texts
}

function valueOf(schema: TObject, name: string, text: string): unknown {
  return readValues(schema, { [name]: text })[name]
}

/** A parameter that has its default value gets no note. */
function notesOf(schema: TObject, texts: Readonly<Record<string, string>>): string[] {
  return Object.entries(texts).flatMap(([name, text]) => {
    const parameter: TSchema | undefined = schema.properties[name]
    const description = parameter?.description ?? ''
    const isUsual = valueOf(schema, name, text) === parameter?.default
    if (isUsual || !description.startsWith(WITHOUT_EFFECT)) return []
    return [`Parameter ${name} has no effect: ${description.slice(WITHOUT_EFFECT.length)}`]
  })
}

function sentInQuery(query: unknown): Sent[] {
  return Object.entries(query ?? {}).flatMap(([name, value]) =>
    [value].flat().map((text): Sent => [name, String(text)]),
  )
}

async function sentInBody(
  request: FastifyRequest,
  reply: FastifyReply,
  readForm: FormReader,
): Promise<readonly Sent[]> {
  if (request.isMultipart()) {
    refuseCompressedForm(request)
    return readForm(request, reply)
  }
  const body = await plainBody(request, MAX_BYTES)
  if (body.length === 0) return []
  if (!isUtf8(body)) throw new ServerError('BadRequestException', 'The body is not valid UTF-8.')
  const [type = ''] = (request.headers['content-type'] ?? '').split(';', 1)
  const mediaType = type.trim().toLowerCase()
  if (mediaType === 'application/x-www-form-urlencoded') {
    if (body.length <= MAX_BYTES) return parseUrlEncoded(body).map(toSent)
    const text = `The parameters are larger than ${MAX_BYTES} bytes.`
    throw new ServerError('PayloadTooLargeException', text)
  }
  if (/^application\/(?:.+\+)?json$/.test(mediaType)) {
    return jsonMembers(body.toString('utf8')).map(({ name, text }) => [name, text])
  }
  const shown = mediaType === '' ? 'no content type' : JSON.stringify(mediaType.slice(0, 100))
  const text = `A body of ${shown} has no parameters; send them in the query, as JSON or as a form.`
  throw new ServerError('UnsupportedMediaTypeException', text)
}

async function readFields(request: FastifyRequest): Promise<Sent[]> {
  return (await readMultipart(request, MAX_BYTES)).map(toSent)
}

function toSent({ name, value }: { name: string; value: Buffer }): Sent {
  return [name, value.toString('utf8')]
}
