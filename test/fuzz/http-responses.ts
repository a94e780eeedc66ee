/** Takes the responses of one connection apart, strictly. */
import assert from 'node:assert/strict'

const STATUS_LINE = /^HTTP\/1\.1 (\d{3}) [\t\x20-\x7e\x80-\xff]*$/
const HEADER = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t\x20-\x7e\x80-\xff]*$/

/** Statuses of the final responses. Fails unless the bytes are whole responses and nothing else. */
export function responsesOf(bytes: Buffer, problem: Error): number[] {
  const statuses: number[] = []
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf('\r\n\r\n', at)
    assert.notEqual(end, -1, problem)
    const [line = '', ...headers] = bytes.toString('latin1', at, end).split('\r\n')
    const status = Number(STATUS_LINE.exec(line)?.[1])
    assert.ok(status >= 100 && headers.every((header) => HEADER.test(header)), problem)
    const valueOf = (name: string): string | undefined => {
      const found = headers.filter((header) => header.toLowerCase().startsWith(`${name}:`))
      assert.ok(found.length < 2, problem)
      return found[0]?.slice(name.length + 1).trim()
    }
    at = end + 4
    if (status < 200) continue
    statuses.push(status)
    const length = valueOf('content-length')
    if (status === 204 || status === 304) continue
    if (length !== undefined) {
      assert.match(length, /^\d+$/, problem)
      at += Number(length)
    } else {
      assert.equal(valueOf('transfer-encoding'), 'chunked', problem)
      at = endOfChunks(bytes, at, problem)
    }
    assert.ok(at <= bytes.length, problem)
  }
  return statuses
}

function endOfChunks(bytes: Buffer, start: number, problem: Error): number {
  for (let at = start; ;) {
    const end = bytes.indexOf('\r\n', at)
    const size = bytes.toString('latin1', at, end)
    assert.match(size, /^[\da-f]+$/i, problem)
    at = end + 2 + Number.parseInt(size, 16) + 2
    if (Number.parseInt(size, 16) === 0) return at
  }
}
