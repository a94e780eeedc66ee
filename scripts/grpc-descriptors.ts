/**
 * Writes `src/routes/grpc/messages/descriptors.ts` from the files in `openapi/grpc`: what the
 * reflection service answers.
 */
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import protobuf from 'protobufjs'
import descriptors from 'protobufjs/ext/descriptor/index.js'
import type { IDescriptorProto, IFieldDescriptorProto } from 'protobufjs/ext/descriptor/index.js'

const { FileDescriptorProto } = descriptors
const FOLDER = path.join('openapi', 'grpc')
export const DESCRIPTORS_FILE = 'src/routes/grpc/messages/descriptors.ts'
const LINE = 90

/** The types of a file by their full names. */
type Names = ReadonlySet<string>

/** Returns the text of the file. */
export function descriptorsFile(): string {
  const files = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.proto'))
    .toSorted()
  return `/** Generated from \`openapi/grpc\` by \`npm run docs\`. */

/** A \`.proto\` file in compiled form. */
interface Descriptor {
  readonly name: string
  /** The \`FileDescriptorProto\` in base64. */
  readonly descriptor: string
}

export const DESCRIPTORS: readonly Descriptor[] = [
${files.map(entryOf).join('\n')}
]
`
}

function entryOf(name: string): string {
  const { root, package: packageName } = protobuf.parse(
    readFileSync(path.join(FOLDER, name), 'utf8'),
    new protobuf.Root(),
    { keepCase: true },
  )
  root.resolveAll()
  const described = root.toDescriptor('proto3').file[0]
  if (described === undefined || !packageName) throw new Error(`${name} is empty`)
  const json = FileDescriptorProto.toObject(FileDescriptorProto.create(described))
  const names = new Set<string>()
  const scope = `.${packageName}`
  for (const message of json.messageType ?? []) addNames(message, scope, names)
  for (const one of json.enumType ?? []) names.add(`${scope}.${one.name}`)
  for (const message of json.messageType ?? []) qualify(message, scope, names)
  for (const method of json.service?.[0]?.method ?? []) {
    method.inputType = resolved(method.inputType ?? '', scope, names)
    method.outputType = resolved(method.outputType ?? '', scope, names)
  }
  json.name = name
  const bytes = FileDescriptorProto.encode(FileDescriptorProto.fromObject(json)).finish()
  return `  {
    name: '${name}',
    descriptor:${textOf(Buffer.from(bytes).toString('base64'))},
  },`
}

function textOf(base64: string): string {
  const lines = base64.match(new RegExp(`.{1,${LINE}}`, 'g')) ?? []
  return lines.map((line) => `\n      '${line}'`).join(' +')
}

/** Names of a message and of what is inside of it. Entries of maps get the name of protoc. */
function addNames(message: IDescriptorProto, scope: string, names: Set<string>): void {
  const own = `${scope}.${message.name}`
  names.add(own)
  for (const inner of message.nestedType ?? []) {
    if (inner.options?.mapEntry === true) inner.name = `${inner.name}Entry`
    addNames(inner, own, names)
  }
  for (const one of message.enumType ?? []) names.add(`${own}.${one.name}`)
}

/** Gives the types of all fields their full names, as protoc does. */
function qualify(message: IDescriptorProto, scope: string, names: Names): void {
  const own = `${scope}.${message.name}`
  for (const field of message.field ?? []) {
    if (field.typeName) field.typeName = typeOf(field, own, names)
  }
  for (const inner of message.nestedType ?? []) qualify(inner, own, names)
}

function typeOf({ typeName }: IFieldDescriptorProto, scope: string, names: Names): string {
  const name = typeName ?? ''
  const entry = `${scope}.${name}Entry`
  return names.has(entry) ? entry : resolved(name, scope, names)
}

/** Looks a name up from the inside to the outside. */
function resolved(name: string, scope: string, names: Names): string {
  const bare = name.replace(/^\./, '')
  if (name.startsWith('.')) return name
  for (let outer = scope; outer !== ''; outer = outer.slice(0, outer.lastIndexOf('.'))) {
    if (names.has(`${outer}.${bare}`)) return `${outer}.${bare}`
  }
  throw new Error(`the type ${name} is not in the file`)
}
