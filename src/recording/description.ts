/** The JSON of a record: a request and its response without their bodies. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

/** Names and values, in the order in which they were sent. */
const Headers = Type.Array(Type.Tuple([Type.String(), Type.String()]))

const Description = Type.Object({
  /** When the headers arrived, in milliseconds since 1970. */
  time: Type.Number(),
  /** The value of `x-request-id`. */
  id: Type.String(),
  method: Type.String(),
  /** Path and query. */
  url: Type.String(),
  /** The path of the API with placeholders, such as `/predictions/:model`. */
  route: Type.String(),
  headers: Headers,
  /** Names of headers and query parameters whose values are not recorded. */
  redacted: Type.Array(Type.String()),
  model: Type.String(),
  /** The version that responded. */
  version: Type.String(),
  /** 499 if the client left before the response. */
  status: Type.Integer(),
  /** From the headers of the request to the end of the response, in milliseconds. */
  ms: Type.Number(),
  /** The response of the model; absent if there is none, such as after a timeout. */
  response: Type.Optional(
    Type.Object({
      contentType: Type.String(),
      headers: Headers,
      /** Size of a body that was streamed, or too large to be recorded. */
      omittedBytes: Type.Optional(Type.Integer()),
    }),
  ),
})

export type RecordedDescription = Static<typeof Description>

/** Returns `undefined` for a text that is not a description. */
export function parseDescription(json: string): RecordedDescription | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return Value.Check(Description, value) ? value : undefined
  } catch {
    return undefined
  }
}
