import { readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../../../errors.ts'
import type { WirePrediction } from '../../../wire/messages.ts'
import { errorPredictionFor, jsonPrediction } from '../prediction.ts'
import type { OnnxSession } from '../runtime/session.ts'
import { summarize } from './summary.ts'

/** Ends the profile and returns the time and memory of the operators as JSON. */
export async function answerProfile(id: string, session: OnnxSession): Promise<WirePrediction> {
  const { profile: prefix } = session
  try {
    if (prefix === '')
      throw new ServerError('InvalidInputException', 'This worker does not measure operators.')
    session.endProfiling()
    // onnxruntime adds the time to the name.
    const folder = path.dirname(prefix)
    const names = await readdir(folder)
    const name = names.find((one) => one.startsWith(`${path.basename(prefix)}_`))
    if (name === undefined)
      throw new ServerError('InternalServerException', 'onnxruntime wrote no profile.')
    const file = path.join(folder, name)
    const summary = await summarize(file)
    await rm(file)
    return jsonPrediction(id, 200, Buffer.from(JSON.stringify(summary)))
  } catch (error) {
    return errorPredictionFor(id, error, undefined)
  }
}
