/** What signals mean. SIGTERM, SIGINT and SIGQUIT stop the server and each worker; the others are below. */
import process from 'node:process'
import { isatty } from 'node:tty'

/** Signals of a fault in the process itself: no JavaScript may run after them, so Node must end it. */
const FAULTS = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV'] as const
const STANDARD_DESCRIPTORS = [0, 1, 2]

type SkippedSignal = (typeof FAULTS)[number] | 'SIGHUP' | 'SIGUSR2'

/** SIGUSR1 would open Node's debugger to all users of this machine, SIGUSR2 would end the process. To be called first. */
export function ignoreUserSignals(): void {
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {})
}

/**
 * Signals that must not stop the server gracefully. SIGHUP says that the terminal was closed. Without a terminal,
 * as under `nohup` or as a service, nobody means that by it, so there it is ignored.
 */
export function ignoreSignalsThatDoNotStop(): SkippedSignal[] {
  if (STANDARD_DESCRIPTORS.some((fd) => isatty(fd))) return [...FAULTS, 'SIGUSR2']
  process.on('SIGHUP', () => {})
  return [...FAULTS, 'SIGUSR2', 'SIGHUP']
}
