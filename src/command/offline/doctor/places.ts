/** Checks of ports and folders. */
import { access, constants, stat, statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Config } from '../../../config/config.ts'
import { messageOf } from '../../../errors.ts'
import { storeProblem } from '../../../models/sources/store/check.ts'
import { listStore } from '../../../models/sources/store/listing.ts'
import { cacheFolderOf } from '../../../models/weights/cache-path.ts'
import { listEntries } from '../../../models/weights/entry-list.ts'
import { codeOf } from '../../../system/process-identity.ts'
import { plural, sizeText } from '../../terminal/units.ts'
import type { Examined } from './examined.ts'

const MIB = 1024 * 1024
const LEAST_TEMPORARY = 64 * MIB

/** Whether the server can listen. */
export async function checkPorts(config: Config): Promise<Examined[]> {
  const { host, port, managementHost, managementPort } = config
  return Promise.all([
    checkPort('port', host, port, '--port'),
    checkPort('management', managementHost, managementPort, '--management-port'),
  ])
}

/** Temporary folder, weight cache, model store and state folder. */
export async function checkFolders(
  config: Config,
  environment: NodeJS.ProcessEnv,
): Promise<Examined[]> {
  const { modelStore, stateDir } = config
  const results = [await checkTemporary(), await checkCache(config, environment)]
  if (modelStore !== '') results.push(await checkStore(modelStore))
  if (stateDir !== '') results.push(await checkWritable('state folder', stateDir, '--state-dir'))
  return results
}

async function checkPort(
  name: string,
  host: string,
  port: number,
  flag: string,
): Promise<Examined> {
  const place = port === 0 ? `a free port of ${host}` : `${host}:${port}`
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen({ host, port }, () => resolve())
    })
    return { name, state: 'ok', text: port === 0 ? place : `${place} is free` }
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EADDRINUSE') {
      const remedy = `If another onnxd uses it, all is well. Otherwise choose another port with ${flag}.`
      return { name, state: 'warning', text: `${place} is in use`, remedy }
    }
    const remedy = `Choose another port with ${flag}, or another IP address with ${flag.replace('port', 'host')}.`
    return {
      name,
      state: 'problem',
      text: `${place} cannot be used (${code ?? messageOf(error)})`,
      remedy,
    }
  } finally {
    server.close()
  }
}

async function checkTemporary(): Promise<Examined> {
  const folder = tmpdir()
  const found = await checkWritable('temporary folder', folder, 'TMPDIR')
  if (found.state === 'problem') return found
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  const text = `${folder}, ${sizeText(free)} free`
  if (free >= LEAST_TEMPORARY) return { ...found, text }
  const remedy = 'Free space, or set TMPDIR to another folder. Archives are unpacked there.'
  return { ...found, state: 'warning', text, remedy }
}

async function checkCache(config: Config, environment: NodeJS.ProcessEnv): Promise<Examined> {
  const name = 'weight cache'
  if (config.weightCache === 'off') return { name, state: 'ok', text: 'off' }
  const folder = cacheFolderOf(config, environment)
  const entries = await listEntries(folder).catch(() => [])
  const size = entries.reduce((sum, { bytes }) => sum + bytes, 0)
  const found = await checkWritable(name, folder, '--cache-dir')
  if (found.state === 'problem') return { ...found, state: 'warning' }
  const count = entries.length === 1 ? '1 entry' : `${entries.length} entries`
  return { ...found, text: `${folder}, ${count}, ${sizeText(size)}` }
}

async function checkStore(folder: string): Promise<Examined> {
  const name = 'model store'
  const problem = await storeProblem(folder)
  if (problem !== undefined) return { name, state: 'warning', text: problem }
  try {
    const models = await listStore(folder)
    return { name, state: 'ok', text: `${folder}, ${plural(models.length, 'model')}` }
  } catch (error) {
    const remedy = 'Name a folder that this user can read with --model-store.'
    return { name, state: 'problem', text: `${folder}: ${messageOf(error)}`, remedy }
  }
}

/** A folder that does not exist is created by the server, so the folder above it counts. */
async function checkWritable(name: string, folder: string, setting: string): Promise<Examined> {
  let existing = path.resolve(folder)
  while (existing !== path.dirname(existing) && !(await exists(existing)))
    existing = path.dirname(existing)
  try {
    await access(existing, constants.W_OK | constants.X_OK)
    return { name, state: 'ok', text: folder }
  } catch (error) {
    const remedy = `Let this user write to it, or choose another folder with ${setting}.`
    return {
      name,
      state: 'problem',
      text: `${folder}: ${codeOf(error) ?? messageOf(error)}`,
      remedy,
    }
  }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}
