/** The other HTTP processes of a server, and how their workers are shown. */
import { commonStatus, describeVersion } from '../models/describe-version.ts'
import type { VersionDescription } from '../models/describe-version.ts'
import type { ModelVersion } from '../models/model-version.ts'
import type { LiveProcess } from './console/live-process.ts'
import type { Health, ModelPlace } from './process-health.ts'

/**
 * Returns the health of each other process that takes requests. One that hangs is left out; process
 * 0 ends it soon.
 * @param place Absent for all models.
 */
export type HealthElsewhere = (place?: ModelPlace) => Promise<readonly Health[]>

/** A version in another process: its description, or only that it is being loaded there. */
export type DescriptionElsewhere = VersionDescription | 'LOADING'

/** What routes need from the other processes. */
export interface OtherProcesses {
  /** Resolves when all of them serve the models as this process does. */
  applied(): Promise<void>
  /** Resolves when all of them know which models this process serves and loads. */
  informed(): Promise<void>
  /**
   * Describes a version in each process, by the number of the process. One that does not answer is
   * left out.
   */
  describe(name: string, version: string): Promise<ReadonlyMap<number, DescriptionElsewhere>>
  /** Live data of each process for the console, by the number of the process. */
  live(): Promise<ReadonlyMap<number, LiveProcess>>
  /** Adds the metrics of all processes to a page of this one. */
  metrics(own: string, names: readonly string[]): Promise<string>
}

/** Describes a version with the workers of all HTTP processes. */
export async function describeEverywhere(
  model: ModelVersion,
  {
    config: { gpus },
    others,
  }: {
    readonly config: { readonly gpus: number }
    readonly others?: OtherProcesses | undefined
  },
): Promise<VersionDescription> {
  if (others === undefined) return describeVersion(model, gpus)
  const [own, further] = await Promise.all([
    describeVersion(model, gpus),
    others.describe(model.name, model.version),
  ])
  return together(own, further)
}

/**
 * Adds the workers and queues of other processes. Ids of workers are unique: worker 2 of process 1
 * has the id `1.2`.
 */
export function together(
  own: VersionDescription,
  others: ReadonlyMap<number, DescriptionElsewhere>,
): VersionDescription {
  const described = [...others].flatMap(([shard, other]) =>
    other === 'LOADING' ? [] : [{ shard, other }],
  )
  const all = [own, ...described.map(({ other }) => other)]
  const workers = described.flatMap(({ shard, other }) =>
    other.workers.map((worker) => ({ ...worker, id: `${shard}.${worker.id}`, shard })),
  )
  const states = [...others.values()].map((other) => (other === 'LOADING' ? other : other.status))
  const sum = (key: 'remainingCapacity' | 'pendingRequests'): number =>
    all.reduce((total, { jobQueueStatus }) => total + jobQueueStatus[key], 0)
  return {
    ...own,
    status: commonStatus([own.status, ...states]),
    workers: [...own.workers.map((worker) => ({ ...worker, shard: 0 })), ...workers],
    jobQueueStatus: {
      remainingCapacity: sum('remainingCapacity'),
      pendingRequests: sum('pendingRequests'),
    },
  }
}

/** Whether all other processes can serve all models, or one. */
export async function isReadyElsewhere(
  { healthElsewhere }: { readonly healthElsewhere?: HealthElsewhere | undefined },
  place?: ModelPlace,
): Promise<boolean> {
  const others = (await healthElsewhere?.(place)) ?? []
  return others.every(({ isReady }) => isReady)
}
