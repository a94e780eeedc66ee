/** Files of the package that hold no code of ours: its manifest, and the page's files in `dist`. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'

/** Files of Swagger UI, where the build puts them. Every build of the program reads them from there. */
const SWAGGER_UI = path.join('dist', 'swagger-ui')

/** The version of this package. */
export async function readPackageVersion(): Promise<string> {
  const content: unknown = JSON.parse(await readFile(inPackage('package.json'), 'utf8'))
  if (typeof content !== 'object' || content === null || !('version' in content)) return 'unknown'
  return String(content.version)
}

/** A file of Swagger UI. */
export function readSwaggerUi(name: string): Promise<Buffer> {
  return readFile(inPackage(SWAGGER_UI, name))
}

/** A path in the folder of the nearest `package.json` above this file, whose depth differs from build to build. */
function inPackage(...names: readonly string[]): string {
  let folder = import.meta.dirname
  while (!existsSync(path.join(folder, 'package.json')) && folder !== path.dirname(folder))
    folder = path.dirname(folder)
  return path.join(folder, ...names)
}
