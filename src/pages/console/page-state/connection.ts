/** Reads the stream of live data, and connects again after it broke. */
import { signal } from '@preact/signals'
import { ApiError } from '../../shared/api-error.ts'
import { EventParser } from '../logic/event-parser.ts'
import { LiveParts, readEvent } from '../logic/live.ts'
import { client } from './client.ts'
import { forget, update } from './live-data.ts'

/** The first pause before a new attempt; each further one is twice as long. */
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000
/** A stream that is silent for so long is broken. The server sends an event each second. */
const SILENCE_MS = 10_000

/** The state of the connection. */
export type Connection =
  | { readonly state: 'connecting' | 'open' | 'signed-out' }
  | {
      readonly state: 'lost'
      readonly reason: string
      /** On the clock of `performance.now()`. */
      readonly retryAt: number
    }

export const connection = signal<Connection>({ state: 'connecting' })

let attempt = 0
let current = new AbortController()

/** Connects now, instead of an open stream or a pause. */
export function connect(): void {
  current.abort()
  current = new AbortController()
  attempt = 0
  void keepConnected(current.signal)
}

/** Uses a token from now on. */
export function signIn(token: string): void {
  client.useToken(token)
  connect()
}

/** Forgets the token and everything that was read with it. */
export function signOut(): void {
  client.useToken('')
  forget()
  connect()
}

async function keepConnected(stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      await readStream(stop)
      lose('The server has ended the connection.')
    } catch (error) {
      if (stop.aborted) return
      if (error instanceof ApiError && error.status === 401) {
        forget()
        connection.value = { state: 'signed-out' }
        return
      }
      lose(error instanceof ApiError ? error.message : 'The connection is broken.')
    }
    await pause(stop)
  }
}

function lose(reason: string): void {
  const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt)
  attempt += 1
  connection.value = { state: 'lost', reason, retryAt: performance.now() + pauseMs }
}

/** Waits until the time of the next attempt. */
async function pause(stop: AbortSignal): Promise<void> {
  const { value } = connection
  if (value.state !== 'lost') return
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, value.retryAt - performance.now())
    stop.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** Resolves when the server ends the stream. */
async function readStream(stop: AbortSignal): Promise<void> {
  const silent = new AbortController()
  let timer = setTimeout(() => silent.abort(), SILENCE_MS)
  try {
    const both = AbortSignal.any([stop, silent.signal])
    const { body } = await client.send('console/events', { signal: both })
    if (body === null) return
    const reader = body.pipeThrough(new TextDecoderStream()).getReader()
    const parser = new EventParser()
    const parts = new LiveParts()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      clearTimeout(timer)
      timer = setTimeout(() => silent.abort(), SILENCE_MS)
      for (const data of parser.push(value)) {
        const now = parts.apply(readEvent(data))
        if (now !== undefined) update(now)
      }
      attempt = 0
      if (connection.peek().state !== 'open') connection.value = { state: 'open' }
    }
  } finally {
    clearTimeout(timer)
  }
}
