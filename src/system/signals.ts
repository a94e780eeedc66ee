/**
 * How the processes handle signals. SIGTERM, SIGINT and SIGQUIT stop the server and each worker;
 * this file handles the others.
 */
import process from 'node:process'
import { isatty } from 'node:tty'

/**
 * Signals of a fault in the process itself. No JavaScript may run after them, so Node must end the
 * process.
 */
const FAULTS = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV'] as const
const STANDARD_DESCRIPTORS = [0, 1, 2]

type SkippedSignal = (typeof FAULTS)[number] | 'SIGHUP' | 'SIGUSR2'

/**
 * Ignores SIGUSR1, which would open Node's debugger to all users of this machine, and SIGUSR2,
 * which would end the process. Must be called first.
 */
export function ignoreUserSignals(): void {
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {})
}

/**
 * Returns the signals that must not stop the server gracefully. SIGHUP means that the terminal was
 * closed. It is ignored if the process has no terminal, as under `nohup` or as a service.
 */
export function ignoreSignalsThatDoNotStop(): SkippedSignal[] {
  if (STANDARD_DESCRIPTORS.some((fd) => isatty(fd))) return [...FAULTS, 'SIGUSR2']
  process.on('SIGHUP', () => {})
  return [...FAULTS, 'SIGUSR2', 'SIGHUP']
}
