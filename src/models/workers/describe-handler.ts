import type { Logger } from 'pino'
import type { Pool } from '../scheduling/pool.ts'
import { Job } from '../scheduling/queue/job.ts'

/**
 * Asks a handler for its metadata: inputs, outputs, types, shapes. Returns `undefined` if the
 * handler has none. The request has the header `describe: True`, as in TorchServe.
 */
export async function askForMetadata(pool: Pool, model: string, log: Logger): Promise<unknown> {
  try {
    return await requestMetadata(pool)
  } catch (error) {
    log.warn({ model, error }, 'the handler could not describe itself')
    return undefined
  }
}

/**
 * As {@link askForMetadata}, but throws. A model that loads on demand is loaded for it.
 * @throws ServerError as a prediction does.
 */
export async function requestMetadata(pool: Pool): Promise<unknown> {
  // TorchServe's handlers describe themselves if the first request of a batch asks for it.
  const job = new Job([['describe', 'True']], [], { isAlone: true })
  pool.submit(job)
  const { body } = await job.result
  return JSON.parse(body.toString('utf8'))
}
