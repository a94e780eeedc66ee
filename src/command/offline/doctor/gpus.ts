/** Finds GPUs of NVIDIA, and whether the server would use them. */
import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import type { Config } from '../../../config/config.ts'
import { printable } from '../../terminal/terminal.ts'
import type { Examined } from './examined.ts'

/** Each folder here is a GPU; the file `information` in it has the name of its model. */
const DRIVER = '/proc/driver/nvidia/gpus'
const REMEDY =
  'Install onnxruntime-node with its CUDA libraries, then start with --gpus; see docs/gpu.md.'

/**
 * Returns nothing for a machine without a GPU, unless the settings want one.
 * @param backends Execution providers of the installed onnxruntime.
 * @param driver Folder of the driver.
 */
export async function checkGpus(
  { gpus }: Pick<Config, 'gpus'>,
  backends: readonly string[],
  driver = DRIVER,
): Promise<Examined[]> {
  const name = 'GPUs'
  const models = await modelsIn(driver)
  if (models.length === 0) {
    if (gpus === 0) return []
    const text = `The settings want ${gpus}, but the driver of NVIDIA shows none.`
    const remedy = 'Install the driver, or give the container access to the GPU (--gpus all).'
    return [{ name, state: 'problem', text, remedy }]
  }
  const found = models.join(', ')
  if (gpus > models.length) {
    const text = `${found}; the settings want ${gpus}`
    return [{ name, state: 'problem', text, remedy: `Set --gpus ${models.length}.` }]
  }
  if (!backends.includes('cuda')) {
    const text = `${found}; this onnxruntime has no CUDA, so models run on the CPU`
    return [{ name, state: gpus > 0 ? 'problem' : 'warning', text, remedy: REMEDY }]
  }
  if (gpus > 0) return [{ name, state: 'ok', text: found }]
  const remedy = `Start with --gpus ${models.length} to use them.`
  return [{ name, state: 'warning', text: `${found}; not used`, remedy }]
}

async function modelsIn(driver: string): Promise<string[]> {
  const folders = await readdir(driver).catch(() => [])
  return Promise.all(
    folders.map(async (folder) => {
      const text = await readFile(path.join(driver, folder, 'information'), 'utf8').catch(() => '')
      return printable(/^Model:\s*(.+)$/m.exec(text)?.[1]?.trim() ?? 'a GPU')
    }),
  )
}
