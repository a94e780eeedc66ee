import type { Logger } from 'pino'
import { Job } from '../scheduling/job.ts'
import type { Pool } from '../scheduling/pool.ts'

/**
 * What a handler says of itself: inputs, outputs, types, shapes. `undefined` for one that does not.
 * By TorchServe's convention a request with the header `describe: True` asks for it.
 */
export async function askHandler(pool: Pool, model: string, log: Logger): Promise<unknown> {
  try {
    const job = new Job([['describe', 'True']], [])
    pool.submit(job)
    const { body } = await job.result
    return JSON.parse(body.toString('utf8'))
  } catch (error) {
    log.warn({ model, error }, 'the handler did not describe itself')
    return undefined
  }
}
