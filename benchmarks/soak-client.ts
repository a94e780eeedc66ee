/** One request of the soak test: sends a body in pieces and compares the response with it. */
import { randomInt } from 'node:crypto'
import { request } from 'node:http'
import type { Agent } from 'node:http'
import type { Subject } from './soak-subjects.ts'

const LARGEST_PIECE = 2 ** 17

/** How a request declares the end of its body: by its length or in chunks. */
export const FRAMINGS = ['declared', 'chunked'] as const

export interface Question {
  readonly server: string
  readonly agent: Agent
  readonly subject: Subject
  readonly framing: (typeof FRAMINGS)[number]
  readonly data: Buffer
}

/** @throws Error if the response is not equal to the data. */
export async function askBack(question: Question): Promise<void> {
  const { subject, framing, data } = question
  const answer = await send(question)
  if (answer.equals(data)) return
  const at = data.findIndex((byte, index) => answer[index] !== byte)
  throw new Error(
    `${subject.name}, ${framing}: ${data.length} bytes came back as ${answer.length}, different from byte ${at === -1 ? data.length : at} on`,
  )
}

function send({ server, agent, subject, framing, data }: Question): Promise<Buffer> {
  const { body, headers } = subject.wrap(data)
  const end =
    framing === 'declared' ? { 'content-length': body.length } : { 'transfer-encoding': 'chunked' }
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', agent, headers: { ...headers, ...end } }
    const sent = request(`${server}${subject.path}`, options, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => {
        const answer = Buffer.concat(pieces)
        if (response.statusCode === 200) resolve(subject.unwrap(answer, response.headers))
        else
          reject(new Error(`${subject.name}: status ${response.statusCode}: ${answer.toString()}`))
      })
    })
    sent.on('error', reject)
    for (const piece of piecesOf(body)) sent.write(piece)
    sent.end()
  })
}

function* piecesOf(body: Buffer): Generator<Buffer> {
  let start = 0
  while (start < body.length) {
    const end = start + randomInt(1, LARGEST_PIECE + 1)
    yield body.subarray(start, end)
    start = end
  }
}
