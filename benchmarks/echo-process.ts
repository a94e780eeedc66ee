import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const ECHO = fileURLToPath(new URL('./echo.js', import.meta.url))

/** A running process of `echo.ts`. */
export interface EchoProcess {
  readonly url: string
  readonly pid: number
  stop(): void
}

export async function startEcho(): Promise<EchoProcess> {
  const child = fork(ECHO)
  const [url]: unknown[] = await once(child, 'message')
  return { url: String(url), pid: child.pid ?? 0, stop: () => child.kill() }
}
