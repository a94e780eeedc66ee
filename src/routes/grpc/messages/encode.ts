/** Writes small messages of protocol buffers from objects, by a schema. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

type Scalar = 'string' | 'bytes' | 'bool' | 'int32' | 'int64' | 'uint32' | 'uint64'

/** The type of a field: a scalar, a message, or the numbers of an enumeration by name. */
type FieldType = Scalar | { readonly message: Schema } | { readonly values: Values }
type Values = Readonly<Record<string, number>>

/** A field: its number, its type, and whether it is a list or a map with texts as keys. */
export type Field = readonly [number: number, type: FieldType, rule?: 'repeated' | 'map']

/** The fields of a message by the names of the object's members. Other members are left out. */
export interface Schema {
  readonly [name: string]: Field
}

/** Returns the bytes of a message. Absent members and default values take no bytes. */
export function encodeMessage(schema: Schema, value: object): Uint8Array {
  const writer = new BinaryWriter()
  writeFields(writer, schema, value)
  return writer.finish()
}

function writeFields(writer: BinaryWriter, schema: Schema, value: object): void {
  for (const [name, [number, type, rule]] of Object.entries(schema)) {
    const member: unknown = Reflect.get(value, name)
    if (member === undefined || member === null) continue
    if (rule === 'map') writeMap(writer, number, type, member)
    else if (rule !== 'repeated') writeField(writer, number, type, member)
    else if (isPacked(type)) writePacked(writer, number, type, member)
    else for (const item of listOf(member)) writeField(writer, number, type, item, true)
  }
}

/** @param isKept Whether a default value is written too, as an item of a list. */
function writeField(
  writer: BinaryWriter,
  number: number,
  type: FieldType,
  value: unknown,
  isKept = false,
): void {
  if (typeof type === 'object' && 'message' in type) {
    writer.tag(number, WireType.LengthDelimited).fork()
    if (typeof value === 'object' && value !== null) writeFields(writer, type.message, value)
    writer.join()
    return
  }
  if (!isKept && isDefault(type, value)) return
  const isText = type === 'string' || type === 'bytes'
  writer.tag(number, isText ? WireType.LengthDelimited : WireType.Varint)
  writeScalar(writer, type, value)
}

function writeMap(writer: BinaryWriter, number: number, type: FieldType, value: unknown): void {
  for (const [key, item] of Object.entries(value ?? {})) {
    writer.tag(number, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.LengthDelimited).string(key)
    writeField(writer, 2, type, item)
    writer.join()
  }
}

function writePacked(
  writer: BinaryWriter,
  number: number,
  type: Scalar | { readonly values: Values },
  value: unknown,
): void {
  const items = listOf(value)
  if (items.length === 0) return
  writer.tag(number, WireType.LengthDelimited).fork()
  for (const item of items) writeScalar(writer, type, item)
  writer.join()
}

function writeScalar(
  writer: BinaryWriter,
  type: Scalar | { readonly values: Values },
  value: unknown,
): void {
  if (typeof type === 'object') writer.int32(type.values[String(value)] ?? 0)
  else if (type === 'string') writer.string(String(value))
  else if (type === 'bytes') writer.bytes(value instanceof Uint8Array ? value : new Uint8Array())
  else if (type === 'bool') writer.bool(value === true)
  else writer[type](Number(value))
}

function isDefault(type: FieldType, value: unknown): boolean {
  if (typeof type === 'object') return 'values' in type && (type.values[String(value)] ?? 0) === 0
  return value === '' || value === 0 || value === false
}

function isPacked(type: FieldType): type is Scalar | { readonly values: Values } {
  return typeof type === 'object' ? 'values' in type : type !== 'string' && type !== 'bytes'
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
