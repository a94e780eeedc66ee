import { OnnxHandler, PredictionException } from 'onnxd/handler'
import type { HandlerContext, HandlerRequest, RequestData } from 'onnxd/handler'
import { messageText } from './message-text.ts'
import type { Inputs, Label, Model, Outputs } from './model.d.ts'

type Request = HandlerRequest<Inputs, Outputs>

interface Ticket {
  readonly team: Label | 'unsure'
  readonly scores: Readonly<Record<string, number>>
}

/** Below this score a person has to decide. */
const LEAST_SCORE = 0.6
/** No person writes more, and the worker serves nobody else while it cleans a message. */
const MOST_CHARACTERS = 20_000
const WRONG_PATH = 'Send messages to /predictions; /v1, /v2 and gRPC are not supported.'

/** Sorts messages to a help desk: text, HTML, or a subject and a message as a form or JSON. */
export class Tickets extends OnnxHandler<Model> {
  /** The built-in handler turns the new text into tokens. */
  override preprocess(request: Request): Request {
    // Bodies of other protocols have no place for a subject, and their texts would not be cleaned.
    if (request.protocol !== 'predictions') throw new PredictionException(WRONG_PATH, 400)
    const message = fieldsOf(request.data).join('\n')
    if (message.length > MOST_CHARACTERS) {
      throw new PredictionException(`Send at most ${MOST_CHARACTERS} characters.`, 413)
    }
    const text = messageText(message)
    if (text === '') throw new PredictionException('The message has no text.', 422)
    return request.withBody(text)
  }

  override postprocess(
    { logits }: Outputs,
    _request: Request,
    context: HandlerContext<Model>,
  ): Ticket {
    const { labels } = context.model
    const scores = softmax(logits.data)
    const best = Math.max(...scores)
    context.metrics.addCounter(best < LEAST_SCORE ? 'UnsureTickets' : 'SortedTickets', 1)
    return {
      team: best < LEAST_SCORE ? 'unsure' : (labels[scores.indexOf(best)] ?? 'unsure'),
      scores: Object.fromEntries(
        labels.map((label, index) => [label, Number((scores[index] ?? 0).toFixed(3))]),
      ),
    }
  }
}

/** The subject and the message of a form or of JSON; any other body is a message. */
function fieldsOf({ body, ...form }: RequestData): string[] {
  if (typeof body === 'string' || Buffer.isBuffer(body)) return [textOf(body)]
  const fields: unknown = body ?? form
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw new PredictionException(
      'Send text, or an object with the texts "subject" and "message".',
      422,
    )
  }
  const { subject, message } = fields as { subject?: unknown; message?: unknown }
  return [textOf(subject, 'subject'), textOf(message, 'message')]
}

/** A field that is missing is empty. Fields of forms are bytes. */
function textOf(value: unknown, name = 'message'): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  if (Buffer.isBuffer(value)) return value.toString()
  throw new PredictionException(`The field "${name}" is not text.`, 422)
}

function softmax(logits: Float32Array): number[] {
  const highest = Math.max(...logits)
  const powers = Array.from(logits, (logit) => Math.exp(logit - highest))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}
