/** Questions of process 0 to the other processes. */
import type { Registry } from '../../models/registry.ts'
import type { DescriptionElsewhere } from '../../routes/other-processes.ts'
import { healthOf } from '../../routes/process-health.ts'
import type { Health, ModelPlace } from '../../routes/process-health.ts'
import type { Question } from '../messages.ts'

/** A health check must not wait long for a process that hangs. */
const HEALTH_MS = 300
/** Memory of workers is read from `/proc`, which takes long on a busy machine. */
const DESCRIBE_MS = 5000

/** A process that is asked. */
export interface AskedProcess {
  readonly index: number
  /** `undefined` until it listens. */
  readonly listeningSince: number | undefined
  /** Returns the answer of the process; `undefined` if none arrives within `ms` milliseconds. */
  ask(question: Question, ms?: number): Promise<unknown>
}

/**
 * Returns the answers by the number of the process. One that does not answer is left out.
 * @typeParam T The answer to this question.
 */
export async function askAll<T>(
  processes: readonly AskedProcess[],
  question: Question,
  ms?: number,
): Promise<Map<number, T>> {
  const answers = await Promise.all(
    processes.map(async (one) => [one.index, await one.ask(question, ms)] as const),
  )
  return new Map(answers.filter(([, answer]) => answer !== undefined) as [number, T][])
}

/** Describes a version in each process, as `OtherProcesses.describe`. */
export function describeInAll(
  processes: readonly AskedProcess[],
  name: string,
  version: string,
): Promise<Map<number, DescriptionElsewhere>> {
  return askAll(processes, { about: 'version', name, version }, DESCRIBE_MS)
}

/**
 * Returns the health of all processes that listen and answer, except for the one that asks.
 * @param place Absent for all models.
 * @param asker Process 0 if it is absent.
 */
export async function healthElsewhere(
  place: ModelPlace | undefined,
  asker: AskedProcess | undefined,
  { registry, running }: { registry: Registry; running: readonly AskedProcess[] },
): Promise<Health[]> {
  const others = running.filter((one) => one !== asker && one.listeningSince !== undefined)
  const answers = await askAll<Health>(others, { about: 'health', place }, HEALTH_MS)
  return [...(asker === undefined ? [] : [healthOf(registry, place)]), ...answers.values()]
}

/**
 * Whether a client is connected to one of the processes, or was within the last `withinMs`
 * milliseconds. One that does not answer may have clients.
 */
export async function haveClientsWithin(
  processes: readonly AskedProcess[],
  withinMs: number,
): Promise<boolean> {
  const answers = await askAll<boolean>(processes, { about: 'clients', withinMs })
  return processes.some(
    ({ index, listeningSince }) => listeningSince !== undefined && answers.get(index) !== false,
  )
}
