import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

/** Passes whole lines on, many at once. */
export function forwardLines(stream: Readable | null, take: (lines: string) => void): void {
  let rest = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (chunk: string) => {
    const end = chunk.lastIndexOf('\n') + 1
    if (end === 0) {
      rest += chunk
      return
    }
    take(rest + chunk.slice(0, end))
    rest = chunk.slice(end)
  })
}

/** Passes each line on. */
export function forwardEachLine(stream: Readable | null, take: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream }).on('line', take)
}
