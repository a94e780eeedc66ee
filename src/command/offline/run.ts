/** `onnxd run MODEL`: one prediction without a running server. */
import { writeFile } from 'node:fs/promises'
import process from 'node:process'
import { ConfigError, ServerError, fileProblem, messageOf } from '../../errors.ts'
import { memberOf } from '../json.ts'
import { textFlag } from '../program/outcome.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { readRequest } from '../program/request-data.ts'
import type { RequestData } from '../program/request-data.ts'
import { printableJson, printableLines } from '../terminal/terminal.ts'
import { sizeText } from '../terminal/units.ts'
import { compactJson } from './compact-json.ts'
import { withModel } from './private-server.ts'
import type { LoadedServer } from './private-server.ts'

const NO_INPUT =
  'The command needs a request: a file with -i, the request itself with -d, or standard input with -i -. "onnxd inspect MODEL" shows what the model takes.'

/** Lines of a worker that are shown when its handler fails. */
const MAX_LINES = 30

/** @throws ConfigError without a request; ServerError if the model or the request is refused. */
export async function runModel(input: CommandInput): Promise<Outcome> {
  const [model = ''] = input.args
  const isPiped = textFlag(input, 'data') === undefined && !process.stdin.isTTY
  const flags = isPiped ? { input: '-', ...input.flags } : input.flags
  const request = await readRequest({ ...input, flags })
  if (request === undefined || (isPiped && request.body.length === 0))
    throw new ConfigError(NO_INPUT)
  const { type, body } = await respond(input, model, request)
  const file = textFlag(input, 'output')
  if (file !== undefined) {
    await writeFile(file, body).catch((cause: unknown) => {
      throw new Error(`Cannot write ${file}: ${fileProblem(cause)}.`, { cause })
    })
    const data = { file, bytes: body.length, contentType: type }
    return { data, text: `${sizeText(body.length)} of ${type} written to ${file}\n` }
  }
  return outcomeOf(type, body, input.terminal.isTerminal)
}

interface ModelResponse {
  readonly type: string
  readonly body: Buffer
}

/** @throws ServerError with what the handler printed, if it failed. */
async function respond(
  input: CommandInput,
  model: string,
  request: RequestData,
): Promise<ModelResponse> {
  let printed: string[] = []
  const send = async ({ server }: LoadedServer): Promise<ModelResponse & { status: number }> => {
    const [version] = server.loaded
    if (version === undefined)
      throw new ServerError('InvalidModelException', `${model} has no model.`)
    printed = []
    const url = `${server.inferenceUrl}/predictions/${encodeURIComponent(version.name)}`
    const response = await fetch(url, {
      method: 'POST',
      body: new Uint8Array(request.body),
      headers: { 'content-type': request.type },
      signal: input.signal,
    })
    const type = response.headers.get('content-type') ?? ''
    try {
      const body = Buffer.from(await response.arrayBuffer())
      return { status: response.status, type, body }
    } catch (error) {
      input.signal.throwIfAborted()
      const message = `The response broke off: ${messageOf(error)}.`
      return { status: 500, type, body: Buffer.from(JSON.stringify({ message })) }
    }
  }
  // The last lines of a worker are read when it ends.
  const { status, type, body } = await withModel(input, model, send, (line) => printed.push(line))
  if (status >= 400) throw refusal(body, status, status >= 500 ? printed : [])
  return { type, body }
}

function outcomeOf(type: string, body: Buffer, isTerminal: boolean): Outcome {
  const data = isJson(type) ? parsed(body) : undefined
  if (data !== undefined)
    return { data, text: isTerminal ? `${printableJson(compactJson(data))}\n` : withLineEnd(body) }
  // JSON lines and a body that is JSON by its type only are text too.
  if (type.startsWith('text/') || type.includes('json')) {
    const text = withLineEnd(body)
    return { data: body.toString('utf8'), text: isTerminal ? printableLines(text) : text }
  }
  return bytesOutcome(type, body, isTerminal)
}

function bytesOutcome(type: string, body: Buffer, isTerminal: boolean): Outcome {
  const data = { contentType: type, base64: body.toString('base64') }
  if (!isTerminal) return { data, text: body }
  const size = sizeText(body.length)
  return { data, text: `The response is ${size} of ${type}. Write it to a file with -o FILE.\n` }
}

/** Whether a body of the type is one JSON value. */
function isJson(type: string): boolean {
  return /^application\/(?:[^;\s]+\+)?json\s*(?:;|$)/i.test(type)
}

/** `undefined` for what is not JSON. */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

function withLineEnd(body: Buffer): string {
  const text = body.toString('utf8')
  return text.endsWith('\n') ? text : `${text}\n`
}

/** @param printed Lines of the worker. */
function refusal(content: Buffer, status: number, printed: readonly string[]): ServerError {
  let message: unknown
  try {
    message = memberOf(JSON.parse(content.toString('utf8')), 'message')
  } catch (error) {
    message = messageOf(error)
  }
  const text = typeof message === 'string' ? message : `The model responded with ${status}.`
  return new ServerError('InvalidInputException', [text, ...printed.slice(0, MAX_LINES)].join('\n'))
}
