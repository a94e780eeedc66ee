/**
 * What the front-end and its child processes agree on about the weight cache: the files of an
 * entry, how a file is recognised, and the job of the process that builds and checks entries.
 */

/** The files of an entry. onnxruntime maps the second one, so workers share its memory. */
export const MODEL_FILE = 'model.onnx'
export const WEIGHTS_FILE = 'weights.bin'
/** Describes an entry: its key, and size and SHA-256 of both files. */
export const ENTRY_FILE = 'entry.json'
/** Number of the layout of entries. Entries of another number are never read. */
export const ENTRY_FORMAT = 1
/** Exit code of a worker whose mapped weights were changed on the disk. */
export const CHANGED_WEIGHTS_CODE = 87
/** The line on stdout with the result of a {@link WeightsJob} begins with these characters. */
export const RESULT_MARK = 'weights-result '

/** What distinguishes a file and its content from any other. Numbers are decimal texts. */
export interface FileState {
  readonly dev: string
  readonly ino: string
  readonly size: string
  /** Times of the last write and of the last change of the entry, in nanoseconds. */
  readonly mtimeNs: string
  readonly ctimeNs: string
}

/** The part of `BigIntStats` that a {@link FileState} is made of. */
export type FileNumbers = Readonly<Record<keyof FileState, bigint>>

/** A file that was read completely and had this state before and after. */
export interface CheckedFile {
  readonly path: string
  readonly state: FileState
}

/** An entry of the cache whose files were checked. */
export interface SharedWeights {
  readonly model: CheckedFile
  readonly weights: CheckedFile
}

/** A file of the original model; `sha256` is absent if it has to be computed. */
export interface SourceFile extends CheckedFile {
  /** Name relative to the folder of the model file. */
  readonly name: string
  readonly sha256?: string
}

/** What the process has to do: find and check the entry of a model, and maybe build it. */
export interface WeightsJob {
  /** The model file, then the files with its external data. */
  readonly sources: readonly SourceFile[]
  /** Folder with all entries. */
  readonly entries: string
  /** Empty folder for a new entry. */
  readonly building: string
  /** User id that must own an entry; `undefined` on systems without. */
  readonly owner: number | undefined
  readonly threads: number
  readonly graphOptimization: 'disabled' | 'basic' | 'extended' | 'all'
  /** Maximum size of an entry. */
  readonly maxBytes: number
  /** Whether to build an entry that does not exist or is damaged. */
  readonly mayBuild: boolean
}

/** Size and SHA-256 of a file of an entry. */
export interface FileDigest {
  readonly bytes: number
  readonly sha256: string
}

/** The content of {@link ENTRY_FILE}. */
export interface EntryRecord {
  readonly format: number
  readonly key: string
  /** File name of the original model. */
  readonly source: string
  /** Size of the original files together; absent in entries of older versions of onnxd. */
  readonly sourceBytes?: number
  readonly createdAt: string
  readonly onnxruntime: string
  readonly cpu: string
  readonly files: Readonly<Record<typeof MODEL_FILE | typeof WEIGHTS_FILE, FileDigest>>
}

/** An entry that exists and must not be used. */
export interface DamagedEntry {
  readonly key: string
  /** Completes "the entry …". */
  readonly problem: string
}

/** What the process found out. */
export type WeightsResult = {
  /** SHA-256 of each source, in the order of the job; absent if there are none or too many. */
  readonly hashes?: readonly string[]
  /** Has to be removed. */
  readonly damaged?: DamagedEntry
} & (
  | { readonly outcome: 'found'; readonly key: string; readonly shared: SharedWeights }
  /** The new entry is in the folder `building`; its record has still to be written. */
  | {
      readonly outcome: 'built'
      readonly key: string
      readonly record: EntryRecord
      readonly shared: SharedWeights
    }
  /** There is no usable entry, and the job must not build one. */
  | { readonly outcome: 'missing' }
  /** The model is to be loaded without the cache. */
  | { readonly outcome: 'unfit'; readonly reason: string }
)

/** Size of all files together. */
export function bytesOf(files: readonly CheckedFile[]): number {
  return files.reduce((sum, { state }) => sum + Number(state.size), 0)
}

/** The state of a file from the result of `stat` with `bigint`. */
export function stateOf({ dev, ino, size, mtimeNs, ctimeNs }: FileNumbers): FileState {
  return {
    dev: String(dev),
    ino: String(ino),
    size: String(size),
    mtimeNs: String(mtimeNs),
    ctimeNs: String(ctimeNs),
  }
}

/** Whether a file has not been replaced, written to or renamed between the two moments. */
export function isSameState(one: FileState, other: FileState): boolean {
  return (
    one.dev === other.dev &&
    one.ino === other.ino &&
    one.size === other.size &&
    one.mtimeNs === other.mtimeNs &&
    one.ctimeNs === other.ctimeNs
  )
}

/** A text that is different for different states. */
export function textOfState({ dev, ino, size, mtimeNs, ctimeNs }: FileState): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
}
