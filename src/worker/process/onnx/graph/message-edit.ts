/**
 * Writes a protobuf message of a file anew. Most fields are copied from the file, byte by byte, so
 * the weights of a model are in memory once.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { ProtoField, ProtoFile, Range } from '../../../../formats/proto-file.ts'

/** A part of a new message: new bytes, or a range of the file. */
export type Piece = Buffer | Range

/** The new value of a field. `keep` leaves the field as it is, `drop` leaves it out. */
export type Change = 'keep' | 'drop' | readonly Piece[]

/**
 * Changes fields of a message.
 * @param change Called for each field that has a length: messages, texts, bytes.
 * @returns `undefined` if all fields stay.
 * @throws ProtoError
 */
export function editMessage(
  file: ProtoFile,
  message: Range,
  change: (field: ProtoField) => Change,
): readonly Piece[] | undefined {
  let isChanged = false
  const pieces: Piece[] = []
  for (const field of file.fields(message)) {
    const value = field.wire === WireType.LengthDelimited ? change(field) : 'keep'
    if (value === 'keep') {
      keep(pieces, field)
      continue
    }
    isChanged = true
    if (value !== 'drop') pieces.push(...fieldOf(field.number, value))
  }
  return isChanged ? pieces : undefined
}

/** A field with a value of a given length. */
export function fieldOf(number: number, value: readonly Piece[]): readonly Piece[] {
  const head = new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(sizeOf(value))
  return [Buffer.from(head.finish()), ...value]
}

/**
 * Returns the bytes of a message.
 * @throws ProtoError
 */
export function assemble(file: ProtoFile, pieces: readonly Piece[]): Buffer<ArrayBuffer> {
  const bytes = Buffer.allocUnsafe(sizeOf(pieces))
  let at = 0
  for (const piece of pieces) {
    if (Buffer.isBuffer(piece)) piece.copy(bytes, at)
    else file.copy(piece, bytes, at)
    at += lengthOf(piece)
  }
  return bytes
}

/** Adds a field of the file. Fields that follow one another become one range. */
function keep(pieces: Piece[], { tagStart, end }: ProtoField): void {
  const last = pieces.at(-1)
  const isNext = last !== undefined && !Buffer.isBuffer(last) && last.end === tagStart
  if (isNext) pieces[pieces.length - 1] = { start: last.start, end }
  else pieces.push({ start: tagStart, end })
}

function sizeOf(pieces: readonly Piece[]): number {
  return pieces.reduce((size, piece) => size + lengthOf(piece), 0)
}

function lengthOf(piece: Piece): number {
  return Buffer.isBuffer(piece) ? piece.length : piece.end - piece.start
}
