import { createHash } from 'node:crypto'
import path from 'node:path'
import type { Logger } from 'pino'
import { messageOf } from '../../errors.ts'
import { asHandlerMetadata } from '../model-metadata.ts'
import type { HandlerMetadata } from '../model-metadata.ts'
import { readIndex, writeIndex } from './index-file.ts'

const INDEX_FILE = 'model-index.jsonl'
/** Models that became known within this time are written together. */
const WRITE_DELAY_MS = 5000
/** The models that were recorded first are forgotten when there are more. */
const MAX_MODELS = 10_000
/** Together with `MAX_MODELS` this keeps the file small enough to be read. */
const MAX_TOTAL_CHARACTERS = 24 * 1024 * 1024
const MAX_LINE_CHARACTERS = 64 * 1024
/** The keys by which a line is found, so that it need not be parsed. */
const LINE = /^\{"id":"([0-9a-f]{64})","hash":"([0-9a-f]{64})",/

/** A model version and its files. */
export interface IndexedModel {
  readonly name: string
  readonly version: string
  /** Size of its files. */
  readonly bytes: number
  /** A SHA-256 that is different when its files or the settings of its outputs differ. */
  readonly hash: string
}

/** What {@link ModelIndex} needs from the server. */
export interface ModelIndexOptions {
  /** The state folder; absent if nothing is written. */
  readonly folder?: string | undefined
  /** Version of onnxd. */
  readonly version: string
  readonly log: Logger
  readonly delayMs?: number
}

/**
 * Remembers the inputs and outputs of models, so that a model that is not loaded can be described:
 * across restarts, and for all HTTP processes. The file is read when the first model is asked for.
 */
export class ModelIndex {
  readonly #options: ModelIndexOptions
  /** Absent if nothing is written. */
  readonly #file: string | undefined
  /** Called with each line that this process has learned. */
  onRecord: (line: string) => void = () => {}
  /** The lines of the file, by the id of the model; the oldest first. */
  #lines: Map<string, string> | undefined
  #characters = 0
  #revision = 0
  #isChanged = false
  #mayWrite = false
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(options: ModelIndexOptions) {
    this.#options = options
    const { folder } = options
    this.#file = folder === undefined ? undefined : path.join(path.resolve(folder), INDEX_FILE)
  }

  /** Changes when more is known. */
  get revision(): number {
    return this.#revision
  }

  /** All models, for another process of this server. */
  get lines(): readonly string[] {
    return [...this.#read().values()]
  }

  /** Adds models that another process of this server has learned. */
  add(added: readonly string[]): void {
    const lines = this.#read()
    for (const line of added) {
      const id = LINE.exec(line)?.[1]
      if (id !== undefined && lines.get(id) !== line) this.#change(lines, id, line)
    }
  }

  /** Call it when this server has the state folder for itself. */
  allowWrites(): void {
    this.#mayWrite = true
    this.#writeLater()
  }

  /** Returns what a model was recorded with; `undefined` if it is not known or has changed. */
  find(model: IndexedModel): HandlerMetadata | undefined {
    const line = this.#read().get(idOf(model))
    if (line === undefined || LINE.exec(line)?.[2] !== model.hash) return undefined
    try {
      const { metadata } = JSON.parse(line) as { metadata?: unknown }
      return asHandlerMetadata(metadata)
    } catch {
      return undefined
    }
  }

  /** Remembers the metadata of a model that was loaded. Other metadata than ours is ignored. */
  record(model: IndexedModel, metadata: unknown): void {
    if (asHandlerMetadata(metadata) === undefined) return
    const id = idOf(model)
    const { hash, name, version, bytes } = model
    const line = JSON.stringify({ id, hash, name, version, bytes, metadata })
    const lines = this.#read()
    if (lines.get(id) === line || line.length > MAX_LINE_CHARACTERS) return
    this.#change(lines, id, line)
    this.onRecord(line)
  }

  /** Writes what was not written yet. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#write()
  }

  #read(): Map<string, string> {
    if (this.#lines !== undefined) return this.#lines
    const lines = new Map<string, string>()
    this.#lines = lines
    const { version, log } = this.#options
    if (this.#file === undefined) return lines
    try {
      for (const line of readIndex(this.#file, version)) {
        const id = LINE.exec(line)?.[1]
        if (id !== undefined) this.#set(lines, id, line)
      }
    } catch (error) {
      const problem = messageOf(error, 200)
      log.warn({ file: INDEX_FILE, problem }, 'the index of models is ignored')
    }
    return lines
  }

  #change(lines: Map<string, string>, id: string, line: string): void {
    this.#set(lines, id, line)
    this.#revision += 1
    this.#isChanged = true
    this.#writeLater()
  }

  #set(lines: Map<string, string>, id: string, line: string): void {
    this.#characters += line.length - (lines.get(id)?.length ?? 0)
    lines.delete(id)
    lines.set(id, line)
    for (const [oldest, { length }] of lines) {
      if (lines.size <= MAX_MODELS && this.#characters <= MAX_TOTAL_CHARACTERS) break
      lines.delete(oldest)
      this.#characters -= length
    }
  }

  #writeLater(): void {
    if (!this.#isChanged || !this.#mayWrite || this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#write()
    }, this.#options.delayMs ?? WRITE_DELAY_MS).unref()
  }

  /** Never rejects: without the file, the next start has to load the models again. */
  #write(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const file = this.#file
      if (file === undefined || !this.#isChanged || !this.#mayWrite) return
      this.#isChanged = false
      const { version, log } = this.#options
      try {
        await writeIndex(file, version, this.#read().values())
      } catch (error) {
        log.warn({ problem: messageOf(error, 200) }, 'the index of models cannot be written')
      }
    })
    return this.#writing
  }
}

function idOf({ name, version }: IndexedModel): string {
  return createHash('sha256')
    .update(JSON.stringify([name, version]))
    .digest('hex')
}
