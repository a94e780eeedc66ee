/** Checks the names of archive entries, each alone and against each other. */
import { invalidArchive, shownName } from './limits.ts'
import type { ArchiveLimits } from './limits.ts'

/** Maximum file name of the file systems of Linux and macOS, in bytes. */
const MAX_COMPONENT_BYTES = 255

/** A name that may be written below the destination. */
export interface EntryName {
  /** Relative path with `/`, without a slash at the end. */
  readonly path: string
  readonly isFolder: boolean
}

/**
 * The names of one archive. No two of them may be the same file on any file system, including those
 * that ignore case or compose accents.
 */
export class EntryNames {
  readonly #limits: ArchiveLimits
  /** The path of each folded path. It includes folders that appear only in other paths. */
  readonly #taken = new Map<string, EntryName>()
  readonly #listed = new Set<string>()

  constructor(limits: ArchiveLimits) {
    this.#limits = limits
  }

  /** @throws ServerError `InvalidModelException` that names the entry and the problem. */
  add(raw: Buffer): EntryName {
    const name = decodeName(raw)
    this.#check(name, raw.length)
    const isFolder = name.endsWith('/')
    const path = isFolder ? name.slice(0, -1) : name
    if (this.#listed.has(path)) throw invalidArchive(`entry ${shownName(name)} occurs twice`)
    this.#listed.add(path)
    for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
      this.#take({ path: path.slice(0, slash), isFolder: true })
    }
    const entry = { path, isFolder }
    this.#take(entry)
    return entry
  }

  #check(name: string, bytes: number): void {
    const problem = this.#problemWith(name, bytes)
    if (problem !== undefined) throw invalidArchive(`entry ${shownName(name)} ${problem}`)
  }

  #problemWith(name: string, bytes: number): string | undefined {
    const { maxPathBytes, maxDepth } = this.#limits
    if (name === '') return 'has no name'
    if (bytes > maxPathBytes) return `has a path of more than ${maxPathBytes} bytes`
    if (/\p{Cc}/u.test(name)) return 'has a control character in its name'
    if (name.includes('\\')) return 'has a backslash in its name'
    if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) return 'has an absolute path'
    const components = name.replace(/\/$/, '').split('/')
    if (components.length > maxDepth) return `is nested deeper than ${maxDepth} levels`
    for (const component of components) {
      if (component === '..') return 'points outside the archive'
      if (component === '' || component === '.') return 'has an empty component in its path'
      if (Buffer.byteLength(component) > MAX_COMPONENT_BYTES) {
        return `has a file name of more than ${MAX_COMPONENT_BYTES} bytes`
      }
    }
    return undefined
  }

  #take(entry: EntryName): void {
    const folded = entry.path.normalize('NFC').toLowerCase().normalize('NFC')
    const other = this.#taken.get(folded)
    if (other === undefined) {
      this.#taken.set(folded, entry)
    } else if (other.path !== entry.path) {
      throw invalidArchive(
        `entries ${shownName(entry.path)} and ${shownName(other.path)} differ only in case or accents`,
      )
    } else if (!other.isFolder || !entry.isFolder) {
      throw invalidArchive(`entry ${shownName(entry.path)} is both a file and a folder`)
    }
  }
}

/**
 * Decodes a name as UTF-8, even if its flag does not say so: the archivers of MMS and of Unix write
 * UTF-8.
 */
function decodeName(raw: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
  } catch {
    throw invalidArchive(`entry ${shownName(raw.toString('latin1'))} has a name that is not UTF-8`)
  }
}
