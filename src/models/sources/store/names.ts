/** Finds the model name of each entry of a store from the name of the file or folder alone. */
import path from 'node:path'
import { MODEL_NAME_PATTERN, RESERVED_NAMES, nameOfPath } from '../model-name.ts'
import { listStore } from './listing.ts'

/** The entries of a store. */
export interface StoreNames {
  /** URLs of models by name. */
  readonly urls: ReadonlyMap<string, string>
  /** Why an entry has no name of its own, by URL. */
  readonly problems: ReadonlyMap<string, string>
}

/**
 * Names all models in a store. An entry that cannot be named, or has the name of an earlier one, is
 * a problem that does not affect the others.
 * @throws ServerError `ModelNotFoundException` if the store cannot be read.
 */
export async function readStoreNames(modelStore: string): Promise<StoreNames> {
  const urls = new Map<string, string>()
  const problems = new Map<string, string>()
  for (const url of await listStore(modelStore)) {
    const name = nameOfEntry(url, modelStore)
    const other = urls.get(name)
    const problem = problemWith(name)
    if (problem !== undefined) problems.set(url, problem)
    else if (other === undefined) urls.set(name, url)
    else
      problems.set(
        url,
        `Its model name would be ${name}, which ${JSON.stringify(other)} has already.`,
      )
  }
  return { urls, problems }
}

/** Returns `''` if the entry does not give a name. */
function nameOfEntry(url: string, modelStore: string): string {
  try {
    return nameOfPath(path.join(modelStore, url), modelStore)
  } catch {
    return ''
  }
}

function problemWith(name: string): string | undefined {
  const taken = RESERVED_NAMES.get(name)
  if (taken === undefined && MODEL_NAME_PATTERN.test(name)) return undefined
  let reason = 'The file name gives a model name of more than 128 characters.'
  if (name === '') {
    reason = 'The file name gives no model name, because it has no letter from A to Z and no digit.'
  } else if (taken !== undefined) {
    reason = `The model name "${name}" is reserved, because ${taken} is a path of the server.`
  }
  return `${reason} Rename the file, or register it with the parameter model_name.`
}
