/** Reads files of the package other than its code: the manifest, and files for browsers. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'

/** The build puts the files of Swagger UI here. Every build of the program reads them from here. */
const SWAGGER_UI = path.join('dist', 'swagger-ui')
const PROTO_FILES = path.join('openapi', 'grpc')
const PAGES = path.join('dist', 'pages')

/** Returns the version of this package; `unknown` if the manifest has none. */
export async function readPackageVersion(): Promise<string> {
  const content: unknown = JSON.parse(await readFile(inPackage('package.json'), 'utf8'))
  if (typeof content !== 'object' || content === null || !('version' in content)) return 'unknown'
  return String(content.version)
}

/** Reads a file of Swagger UI. */
export function readSwaggerUi(name: string): Promise<Buffer> {
  return readFile(inPackage(SWAGGER_UI, name))
}

/** Reads a file of protobuf, see `openapi/grpc`. */
export function readProtoFile(name: string): Promise<string> {
  return readFile(inPackage(PROTO_FILES, name), 'utf8')
}

/** Reads a file of a page for browsers, see `scripts/bundle-pages.mjs`. */
export function readPageFile(name: string): Promise<Buffer> {
  return readFile(inPackage(PAGES, name))
}

/**
 * Returns a path in the folder of the nearest `package.json` above this file. The depth of this
 * file differs from build to build.
 */
function inPackage(...names: readonly string[]): string {
  return path.join(packageFolder(), ...names)
}

/** Returns the folder of this package. */
export function packageFolder(): string {
  let folder = import.meta.dirname
  while (!existsSync(path.join(folder, 'package.json')) && folder !== path.dirname(folder))
    folder = path.dirname(folder)
  return folder
}
