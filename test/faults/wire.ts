/** Bytes as a row of the plan writes them, on a connection of their own, and what came back. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { RawClient } from '../helpers/raw-client.ts'
import type { Cleanup } from '../helpers/server.ts'
import { size } from './harness.ts'

/** Beyond every timeout of the servers under attack. */
const LIMIT_MS = size(20_000, 60_000)
const TELLS_TOO_MUCH = /\/(?:tmp|root|home|usr|var|work)\/|\n\s+at |\.sock\b|node_modules/

/**
 * Data that the server sent on a connection that is now closed, by the server or by the client
 * after the response.
 */
export interface Received {
  readonly statuses: readonly number[]
  /** Everything, as latin1. */
  readonly text: string
  /** Head and body of the last response. */
  readonly head: string
  readonly body: string
  /** For example `ECONNRESET`; absent when the server closed its side in order. */
  readonly error: string | undefined
}

/** Lines of a head, with the empty line that ends it. */
export function head(...lines: readonly string[]): string {
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** Sends bytes and reads until the server closes the connection. Fails when it stays open. */
export async function untilClosed(
  t: Cleanup,
  url: string,
  bytes: Buffer | string,
): Promise<Received> {
  const client = await RawClient.connect(t, url)
  client.read()
  await client.write(bytes)
  return closedBy(client)
}

/** Sends bytes and closes the client's side, at once or after the response. */
export async function untilHalfClosed(
  t: Cleanup,
  url: string,
  bytes: Buffer | string,
  when: 'at once' | 'after the response',
): Promise<Received> {
  const client = await RawClient.connect(t, url)
  client.read()
  await client.write(bytes)
  if (when === 'after the response') await within(client.answered(), client)
  client.socket.end()
  return closedBy(client)
}

/** Waits until the server has closed a connection, and lets go of it. */
export async function closedBy(client: RawClient): Promise<Received> {
  await within(client.ended, client)
  client.socket.destroy()
  await client.closed
  const { statuses, text, error } = client
  const start = [...text.matchAll(/HTTP\/1\.1 \d{3} /g)].at(-1)?.index ?? 0
  const end = text.indexOf('\r\n\r\n', start)
  return { statuses, text, head: text.slice(start, end), body: text.slice(end + 4), error }
}

async function within(promise: Promise<void>, client: RawClient): Promise<void> {
  const stop = new AbortController()
  const late = delay(LIMIT_MS, 'late', { signal: stop.signal }).catch(() => 'over')
  const outcome = await Promise.race([promise.then(() => 'over'), late])
  stop.abort()
  if (outcome === 'late') client.socket.destroy()
  assert.equal(outcome, 'over', `the connection is still open: ${client.text.slice(0, 300)}`)
}

/** Fails unless the last response is an error in the form of its dialect that tells no secrets. */
export function assertRefused(
  { statuses, body }: Received,
  expected: number | readonly number[],
  what: string,
  isKserve = false,
  isTei = false,
): void {
  const status = statuses.at(-1)
  assert.ok([expected].flat().includes(Number(status)), `${what}: ${status} ${body.slice(0, 300)}`)
  const error = JSON.parse(body) as Record<string, unknown>
  const members = isTei
    ? ['error', 'error_type']
    : isKserve
      ? ['error']
      : ['code', 'message', 'type']
  assert.deepEqual(Object.keys(error).toSorted(), members, what)
  if (!isKserve && !isTei) assert.equal(error.code, status, what)
  assert.doesNotMatch(body, TELLS_TOO_MUCH, what)
}

/** Resident memory of a process now, and the highest since it was last forgotten; bytes. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') }
}

/** The highest resident memory of a process is counted from here on. */
export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}
