/**
 * Builds the files of an image without a container engine: carries out the steps of a Dockerfile in
 * folders. It knows what `deploy/Dockerfile` uses. Steps that need root (apt-get) and files of base
 * images are left out and reported.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'

const STEP_MS = 900_000

/** One instruction, without comments and line continuations. */
export interface Instruction {
  readonly name: string
  readonly text: string
}

/** A file or link of an image. */
export interface ImageFile {
  /** Absolute path in the image. */
  readonly path: string
  /** Bytes of the content. */
  readonly size: number
}

/** The result of the steps. */
export interface BuiltImage {
  /** Folder that has the files of the last stage, except those of its base image. */
  readonly root: string
  /** The instructions of the last stage that say how it is run, such as ENV and USER. */
  readonly settings: readonly Instruction[]
  /** What was left out. */
  readonly skipped: readonly string[]
}

/** Where the steps are carried out. */
export interface BuildPlace {
  /** The build context, with its `.dockerignore`. */
  readonly context: string
  /** An empty folder, which gets one folder for each stage. */
  readonly folder: string
  readonly environment?: NodeJS.ProcessEnv
  /** Called before each step. */
  readonly say?: (step: string) => void
}

/** Splits a Dockerfile into its instructions. */
export function parseDockerfile(text: string): Instruction[] {
  const lines = text.replaceAll(/^\s*#.*\n/gm, '').replaceAll(/\\\n/g, ' ')
  return lines.split('\n').flatMap((line) => {
    const [, name, rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line.trim()) ?? []
    return name === undefined ? [] : [{ name, text: rest.trim() }]
  })
}

/** Carries out a Dockerfile. @throws Error if a step fails. */
export function buildImage(file: string, place: BuildPlace): BuiltImage {
  const stages = new Map<string, string>()
  const skipped: string[] = []
  let settings: Instruction[] = []
  let root = ''
  let folder = '/'
  for (const instruction of parseDockerfile(readFileSync(file, 'utf8'))) {
    const { name, text } = instruction
    if (name === 'FROM') {
      const stage = / AS (\S+)$/.exec(text)?.[1] ?? 'image'
      root = path.join(place.folder, stage)
      stages.set(stage, root)
      settings = []
      folder = '/'
      mkdirSync(root, { recursive: true })
    } else if (name === 'WORKDIR') {
      folder = path.posix.resolve(folder, text)
      mkdirSync(path.join(root, folder), { recursive: true })
    } else if (name === 'RUN') {
      if (text.startsWith('apt-get')) skipped.push(`RUN ${text}`)
      else runStep(text, path.join(root, folder), place)
    } else if (name === 'COPY') {
      const missing = copyStep(text, path.join(root, folder), { root, stages, place })
      skipped.push(...missing.map((source) => `COPY ${source}`))
    } else settings.push(instruction)
  }
  return { root, settings, skipped }
}

/** Files and links below a folder, the largest first. */
export function filesOf(root: string): ImageFile[] {
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.join(entry.parentPath, entry.name))
  return files
    .map((file) => ({ path: file.slice(root.length), size: lstatSync(file).size }))
    .toSorted((a, b) => b.size - a.size)
}

function runStep(
  command: string,
  cwd: string,
  { environment = process.env, say }: BuildPlace,
): void {
  say?.(`RUN ${command}`)
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
    cwd,
    env: environment,
    encoding: 'utf8',
    timeout: STEP_MS,
    maxBuffer: 2 ** 26,
  })
  if (status !== 0) throw new Error(`RUN ${command} failed with ${status}:\n${stdout}${stderr}`)
}

interface CopyPlace {
  readonly root: string
  readonly stages: ReadonlyMap<string, string>
  readonly place: BuildPlace
}

/** Returns the sources that belong to a base image or to a step that was left out. */
function copyStep(text: string, folder: string, { root, stages, place }: CopyPlace): string[] {
  place.say?.(`COPY ${text}`)
  const words = text.split(/\s+/)
  const flags = words.filter((word) => word.startsWith('--'))
  const sources = words.filter((word) => !word.startsWith('--'))
  const target = sources.pop() ?? ''
  const stage = flags.find((flag) => flag.startsWith('--from='))?.slice('--from='.length)
  const from = stage === undefined ? place.context : stages.get(stage)
  if (from === undefined) throw new Error(`COPY names the unknown stage ${stage}`)
  const to = target.startsWith('/') ? path.join(root, target) : path.join(folder, target)
  const ignored = stage === undefined ? ignoredBy(place.context) : () => false
  return sources.flatMap((source) => {
    const found = matching(from, path.posix.join('.', source))
    if (found.length === 0 && stage !== undefined) return [source]
    if (found.length === 0) throw new Error(`COPY finds no ${source}`)
    for (const name of found) copy(path.join(from, name), to, target.endsWith('/'), ignored)
    return []
  })
}

/** As Docker does: of a folder the content, a file into a folder if the target ends with `/`. */
function copy(
  source: string,
  target: string,
  isFolder: boolean,
  isIgnored: (file: string) => boolean,
): void {
  const isTree = lstatSync(source).isDirectory()
  const to = isFolder && !isTree ? path.join(target, path.basename(source)) : target
  mkdirSync(path.dirname(to), { recursive: true })
  cpSync(source, to, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (file) => !isIgnored(file),
  })
}

/** The patterns of a `.dockerignore` that names files and folders of the root, also by `*.tgz`. */
function ignoredBy(context: string): (file: string) => boolean {
  const file = path.join(context, '.dockerignore')
  const patterns = existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
    : []
  const names = new Set(patterns.flatMap((pattern) => matching(context, pattern)))
  return (found) => names.has(path.relative(context, found))
}

/** Paths in a folder that a pattern matches. It may have `*` in its last part. */
function matching(folder: string, pattern: string): string[] {
  const { dir, base } = path.posix.parse(pattern)
  if (base === '') return ['.']
  if (!base.includes('*')) return existsSync(path.join(folder, pattern)) ? [pattern] : []
  const parts = base.split('*').map((part) => part.replaceAll(/[.+?^$()[\]{}|\\]/g, '\\$&'))
  const name = new RegExp(`^${parts.join('.*')}$`)
  return readdirSync(path.join(folder, dir))
    .filter((entry) => name.test(entry))
    .map((entry) => path.posix.join(dir, entry))
}
