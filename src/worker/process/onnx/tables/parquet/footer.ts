/** Reads the metadata at the end of a Parquet file. */
import { damaged } from './damage.ts'
import { ThriftReader } from './thrift.ts'

/** `Type` of the format: how a column is stored. */
export const PHYSICAL = {
  BOOLEAN: 0,
  INT32: 1,
  INT64: 2,
  INT96: 3,
  FLOAT: 4,
  DOUBLE: 5,
  BYTE_ARRAY: 6,
  FIXED: 7,
} as const

/** What a column contains. Types with the kind `other` cannot be the column of a model. */
export type Kind = 'plain' | 'unsigned' | 'text' | 'half' | { readonly other: string }

/** A column of the schema. */
export interface FileColumn {
  readonly name: string
  readonly physical: number
  /** Length of a value of the type `FIXED`. */
  readonly length: number
  readonly isOptional: boolean
  readonly kind: Kind
}

/** The values of one column in one row group. */
export interface Chunk {
  readonly name: string
  readonly codec: number
  /** Offset of the first page. */
  readonly start: number
}

export interface RowGroup {
  readonly rows: number
  readonly chunks: readonly Chunk[]
}

export interface Footer {
  readonly rows: number
  readonly columns: readonly FileColumn[]
  readonly groups: readonly RowGroup[]
}

const MAGIC = 'PAR1'
const ENCRYPTED = 'PARE'
/** The length of the metadata and the magic bytes. */
const TAIL_BYTES = 8
const MAX_FOOTER_BYTES = 8 * 1024 * 1024
const OPTIONAL = 1
const REPEATED = 2

/** Members of `ConvertedType` and of the union `LogicalType`, by their number. */
const CONVERTED = (
  'text map map list text decimal date time time timestamp timestamp ' +
  'unsigned unsigned unsigned unsigned plain plain plain plain text bson interval'
).split(' ')
const LOGICAL = ',text,map,list,text,decimal,date,time,timestamp,,,plain,text,bson,UUID,half'.split(
  ',',
)
const INTEGER = 10

/** @throws ServerError 400 */
export function readFooter(file: Buffer): Footer {
  const tail = file.toString('latin1', file.length - MAGIC.length)
  if (tail === ENCRYPTED) throw damaged('it is encrypted')
  if (tail !== MAGIC || file.length < TAIL_BYTES + MAGIC.length) throw damaged('it is cut off')
  const length = file.readUInt32LE(file.length - TAIL_BYTES)
  const start = file.length - TAIL_BYTES - length
  if (start < MAGIC.length) throw damaged('its metadata has a wrong length')
  if (length > MAX_FOOTER_BYTES) throw damaged(`its metadata has ${length} bytes`)
  const reader = new ThriftReader(file.subarray(start, file.length - TAIL_BYTES))
  let rows = 0
  const elements: SchemaElement[] = []
  const groups: RowGroup[] = []
  reader.struct((id, type) => {
    if (id === 2) reader.list(() => elements.push(readElement(reader)))
    else if (id === 3) rows = reader.integer()
    else if (id === 4) reader.list(() => groups.push(readGroup(reader)))
    else reader.skip(type)
  })
  if (groups.reduce((sum, group) => sum + group.rows, 0) !== rows || rows < 0) {
    throw damaged('its numbers of rows do not agree')
  }
  return { rows, columns: columnsOf(elements), groups }
}

interface SchemaElement {
  readonly name: string
  readonly physical: number
  readonly length: number
  readonly repetition: number
  readonly children: number
  readonly kind: string
}

function readElement(reader: ThriftReader): SchemaElement {
  let [name, kind, logical] = ['', 'plain', '']
  let [physical, length, repetition, children] = [-1, 0, 0, 0]
  reader.struct((id, type) => {
    if (id === 1) physical = reader.integer()
    else if (id === 2) length = reader.integer()
    else if (id === 3) repetition = reader.integer()
    else if (id === 4) name = reader.binary().toString()
    else if (id === 5) children = reader.integer()
    else if (id === 6) kind = CONVERTED[reader.integer()] ?? 'unknown'
    else if (id === 10) logical = readLogical(reader)
    else reader.skip(type)
  })
  return { name, physical, length, repetition, children, kind: logical === '' ? kind : logical }
}

/** Reads the name of a logical type. */
function readLogical(reader: ThriftReader): string {
  let found = ''
  reader.struct((id, type) => {
    found = LOGICAL[id] ?? 'unknown'
    if (id !== INTEGER) return reader.skip(type)
    reader.struct((member, memberType) => {
      // A Boolean member has its value in its type.
      if (member === 2) found = memberType === 1 ? 'plain' : 'unsigned'
      reader.skip(memberType)
    })
  })
  return found
}

function readGroup(reader: ThriftReader): RowGroup {
  let rows = 0
  const chunks: Chunk[] = []
  reader.struct((id, type) => {
    if (id === 1) reader.list(() => chunks.push(...readChunk(reader)))
    else if (id === 3) rows = reader.integer()
    else reader.skip(type)
  })
  return { rows, chunks }
}

/** Returns nothing for a chunk of a nested column. */
function readChunk(reader: ThriftReader): Chunk[] {
  const path: string[] = []
  let [codec, data, dictionary] = [-1, -1, -1]
  reader.struct((id, type) => {
    if (id !== 3) return reader.skip(type)
    reader.struct((member, memberType) => {
      if (member === 3) reader.list(() => path.push(reader.binary().toString()))
      else if (member === 4) codec = reader.integer()
      else if (member === 9) data = reader.integer()
      else if (member === 11) dictionary = reader.integer()
      else reader.skip(memberType)
    })
  })
  const [name = '', ...others] = path
  if (others.length > 0) return []
  // Some writers say 0 if there is no dictionary.
  return [{ name, codec, start: dictionary > 0 ? Math.min(dictionary, data) : data }]
}

/** The columns below the root. A column with children is nested. */
function columnsOf([root, ...elements]: readonly SchemaElement[]): readonly FileColumn[] {
  const columns: FileColumn[] = []
  let at = 0
  const next = (): SchemaElement => {
    const element = elements[at++]
    if (element === undefined) throw damaged('its schema is cut off')
    return element
  }
  const skipChildren = (count: number): void => {
    // One counter instead of recursion: each element may add children.
    for (let left = count; left > 0; left--) left += Math.max(next().children, 0)
  }
  for (let left = root?.children ?? 0; left > 0; left--) {
    const element = next()
    const { name, physical, length, repetition, children, kind } = element
    if (children < 0) throw damaged('its schema is not valid')
    skipChildren(children)
    const isNested = children > 0 || repetition === REPEATED
    columns.push({
      name,
      physical,
      length,
      isOptional: repetition === OPTIONAL,
      kind: isNested ? { other: 'nested' } : kindOf(kind, physical),
    })
  }
  return columns
}

function kindOf(kind: string, physical: number): Kind {
  if (physical === PHYSICAL.INT96) return { other: 'timestamp' }
  if (physical === PHYSICAL.BYTE_ARRAY && kind === 'plain') return 'text'
  if (kind === 'half' || kind === 'text' || kind === 'plain' || kind === 'unsigned') {
    return physical === PHYSICAL.FIXED && kind !== 'half' ? { other: 'bytes' } : kind
  }
  return { other: kind }
}
