import { readFile } from 'node:fs/promises'
import path from 'node:path'

/** Version in the nearest `package.json` above this file, which lies at another depth in every build. */
export async function readPackageVersion(): Promise<string> {
  let folder = import.meta.dirname
  while (folder !== path.dirname(folder)) {
    folder = path.dirname(folder)
    const version = await readVersion(path.join(folder, 'package.json'))
    if (version !== undefined) return version
  }
  return 'unknown'
}

async function readVersion(file: string): Promise<string | undefined> {
  try {
    const content: unknown = JSON.parse(await readFile(file, 'utf8'))
    if (typeof content !== 'object' || content === null || !('version' in content)) return undefined
    return String(content.version)
  } catch {
    return undefined
  }
}
