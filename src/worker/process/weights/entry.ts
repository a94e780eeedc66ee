/** Checks an entry of the cache: that its files are complete, unchanged and of the right owner. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import path from 'node:path'
import {
  ENTRY_FILE,
  ENTRY_FORMAT,
  MODEL_FILE,
  WEIGHTS_FILE,
} from '../../../contract/shared-weights.ts'
import type { CheckedFile, EntryRecord, SharedWeights } from '../../../contract/shared-weights.ts'
import { messageOf } from '../../../errors.ts'
import { FileProblem, readDigest } from './digest.ts'

const MAX_RECORD_BYTES = 64 * 1024

/** Where an entry is expected. */
export interface EntryPlace {
  readonly folder: string
  readonly key: string
  readonly owner: number | undefined
}

/**
 * Reads every byte of an entry.
 * @returns `undefined` if there is no entry; a text that completes "the entry …" if it must not be
 * used.
 */
export function checkEntry(place: EntryPlace): SharedWeights | string | undefined {
  const found = lstatSync(place.folder, { throwIfNoEntry: false, bigint: true })
  if (found === undefined) return undefined
  try {
    if (!found.isDirectory()) throw new FileProblem('is not a folder')
    checkOwner(found, place.owner)
    const record = readRecord(place)
    return {
      model: checkFile(place, MODEL_FILE, record),
      weights: checkFile(place, WEIGHTS_FILE, record),
    }
  } catch (error) {
    return messageOf(error, 200)
  }
}

function checkOwner({ uid, mode }: BigIntStats, owner: number | undefined): void {
  if (owner === undefined) return
  if (uid !== BigInt(owner)) throw new FileProblem('belongs to another user')
  if ((mode & 0o022n) !== 0n) throw new FileProblem('can be written to by other users')
}

/** @throws Error that completes "the entry …". */
function readRecord({ folder, key, owner }: EntryPlace): EntryRecord {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let text: string
  try {
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
    const descriptor = openSync(path.join(folder, ENTRY_FILE), flags)
    try {
      const stats = fstatSync(descriptor, { bigint: true })
      if (!stats.isFile() || stats.size > MAX_RECORD_BYTES) throw new FileProblem('is not a record')
      checkOwner(stats, owner)
      text = readFileSync(descriptor, 'utf8')
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    throw new FileProblem(`has no readable ${ENTRY_FILE}: ${messageOf(error, 100)}`, {
      cause: error,
    })
  }
  const record = parseRecord(text)
  if (record?.format !== ENTRY_FORMAT || record.key !== key) {
    throw new FileProblem(`has the ${ENTRY_FILE} of another entry`)
  }
  return record
}

function parseRecord(text: string): EntryRecord | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as EntryRecord) : undefined
  } catch {
    return undefined
  }
}

/** @throws Error that completes "the entry …". */
function checkFile(
  { folder, owner }: EntryPlace,
  name: typeof MODEL_FILE | typeof WEIGHTS_FILE,
  record: EntryRecord,
): CheckedFile {
  const file = path.join(folder, name)
  const expected: unknown = record.files?.[name]?.sha256
  try {
    const { sha256, state } = readDigest(file, { check: (stats) => checkOwner(stats, owner) })
    if (sha256 !== expected) throw new FileProblem('has another content than it was written with')
    return { path: file, state }
  } catch (error) {
    const problem = error instanceof FileProblem ? error.message : `(${messageOf(error, 100)})`
    throw new FileProblem(`has a file ${name} that cannot be used: it ${problem}`, { cause: error })
  }
}
