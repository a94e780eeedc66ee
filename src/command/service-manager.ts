/**
 * Tells systemd the state of a service with `Type=notify`: ready, stopping, alive. Node cannot send
 * to a datagram socket, so the program `systemd-notify` of systemd does it.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { messageOf } from '../errors.ts'

const run = promisify(execFile)

const PROGRAM = 'systemd-notify'
const TIMEOUT_MS = 5000
/** systemd expects a message at least once in the watchdog time; half of it is usual. */
const MESSAGES_PER_WATCHDOG_TIME = 2

/** Where failures are logged. */
export interface WarningLog {
  warn(fields: object, message: string): void
}

/** The connection to systemd. It does nothing if systemd did not ask for messages. */
export class ServiceManager {
  readonly #environment: NodeJS.ProcessEnv
  readonly #log: WarningLog
  readonly #watchdog: NodeJS.Timeout | undefined
  /** Messages are sent one after the other, so that they arrive in their order. */
  #sending: Promise<void> | undefined
  #isOff: boolean
  #hasFailed = false

  /** @param pid Process that systemd watches, if `WATCHDOG_PID` names one. */
  constructor(environment: NodeJS.ProcessEnv, log: WarningLog, pid: number) {
    this.#environment = environment
    this.#log = log
    this.#isOff = (environment['NOTIFY_SOCKET'] ?? '') === ''
    const watchdogMs = watchdogTime(environment, pid)
    if (this.#isOff || watchdogMs === undefined) return
    this.#watchdog = setInterval(() => {
      // A message that is still on its way counts as this one.
      if (this.#sending === undefined) this.notify('WATCHDOG=1')
    }, watchdogMs / MESSAGES_PER_WATCHDOG_TIME).unref()
  }

  /** Sends assignments such as `READY=1` in one message. */
  notify(...assignments: readonly string[]): void {
    if (this.#isOff) return
    const before = this.#sending ?? Promise.resolve()
    const sending = before.then(() => this.#send(assignments))
    this.#sending = sending
    void sending.then(() => {
      if (this.#sending === sending) this.#sending = undefined
    })
  }

  /** Ends the messages to the watchdog, and waits until all others are sent. */
  async close(): Promise<void> {
    clearInterval(this.#watchdog)
    await this.#sending
  }

  async #send(assignments: readonly string[]): Promise<void> {
    if (this.#isOff) return
    try {
      await run(PROGRAM, assignments, { env: this.#environment, timeout: TIMEOUT_MS })
    } catch (error) {
      this.#isOff = isMissing(error)
      if (this.#hasFailed) return
      this.#hasFailed = true
      this.#log.warn(
        { reason: messageOf(error) },
        `cannot notify systemd, because ${PROGRAM} failed. A service with Type=notify needs it to become ready`,
      )
    }
  }
}

/** Whether the program does not exist, so that a further try is of no use. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** The watchdog time in milliseconds; `undefined` if systemd does not watch this process. */
function watchdogTime(environment: NodeJS.ProcessEnv, pid: number): number | undefined {
  const { WATCHDOG_USEC: time, WATCHDOG_PID: watched = '' } = environment
  const ms = Number(time) / 1000
  const isMeant = watched === '' || Number(watched) === pid
  return isMeant && Number.isFinite(ms) && ms > 0 ? ms : undefined
}
