import path from 'node:path'
import { ServerError } from '../../../../../errors.ts'
import type { ModelFiles } from '../../../../../model-folder/files.ts'
import { PREPROCESSOR_FILE } from '../../../../../model-folder/paths.ts'
import { readTextInside } from '../../../../../model-folder/read-inside.ts'
import { codeOf } from '../../../../../system/process-identity.ts'
import type { BaseSettings } from './presets.ts'

const MAX_BYTES = 1024 * 1024

/**
 * Reads `preprocessor_config.json` beside the model or its `model.json`. Returns `undefined` if
 * there is no such file, or if `model.json` names a preset.
 * @param root Real path that contains every file; empty for no limit.
 * @throws ServerError `InvalidModelException` if the file is malformed or cannot be followed.
 */
export async function readBaseSettings(
  { folder, settingsFolder, settings }: ModelFiles,
  root: string,
): Promise<BaseSettings | undefined> {
  if (settings.image?.preset !== undefined) return undefined
  for (const place of new Set([folder, settingsFolder])) {
    const text = await readIfPresent(path.join(place, PREPROCESSOR_FILE), root)
    if (text === undefined) continue
    // It needs the schemas, which take 15 MB.
    const { readPreprocessor } = await import('./preprocessor.ts')
    const { notes, ...base } = readPreprocessor(parse(text))
    for (const note of notes) console.log(note)
    return base
  }
  return undefined
}

async function readIfPresent(file: string, root: string): Promise<string | undefined> {
  try {
    return await readTextInside(file, { root: root || undefined, maxBytes: MAX_BYTES })
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** A key with the value null is absent. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text, (key, value: unknown) =>
      value === null && key !== '' ? undefined : value,
    )
  } catch (cause) {
    throw new ServerError('InvalidModelException', `Failed to parse ${PREPROCESSOR_FILE}.`, {
      cause,
    })
  }
}
