/** Checks the model store when the server starts. */
import { stat } from 'node:fs/promises'
import { codeOf } from '../../../system/process-identity.ts'

const WRITABLE_BY_OTHERS = 0o002

/** Returns a problem of the model store for the operator; `undefined` if there is none. */
export async function storeProblem(modelStore: string): Promise<string | undefined> {
  try {
    const stats = await stat(modelStore)
    if (!stats.isDirectory()) return 'the model store cannot be read: it is not a folder'
    if ((stats.mode & WRITABLE_BY_OTHERS) === 0) return undefined
    return 'every user of this machine can write to the model store and replace models'
  } catch (error) {
    const code = codeOf(error) ?? 'unknown reason'
    const reason = code === 'ENOENT' ? 'it does not exist' : `its folder cannot be opened (${code})`
    return `the model store cannot be read: ${reason}`
  }
}
