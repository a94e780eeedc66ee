/** Writes tensors in the format of `numpy.savez`: a ZIP archive with one array for each. */
import { responseTooLarge } from '../json/writer.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { writeNpy } from './write-npy.ts'

const LOCAL = 0x04_03_4b_50
const CENTRAL = 0x02_01_4b_50
const END = 0x06_05_4b_50
const VERSION = 20
/** The names are UTF-8. */
const UTF8_FLAG = 0x08_00
/** 1980-01-01, the earliest date of the format. */
const DATE = 0x21
const LOCAL_BYTES = 30
const CENTRAL_BYTES = 46
const END_BYTES = 22

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xed_b8_83_20 ^ (crc >>> 1) : crc >>> 1
  return crc
})

/** @throws ServerError 507 when the response exceeds `maxBytes` */
export function writeNpz(
  names: readonly string[],
  outputs: readonly Tensor[],
  maxBytes: number,
): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [index, output] of outputs.entries()) {
    const name = names[index] ?? ''
    const file = Buffer.from(`${name}.npy`)
    const array = writeNpy(output, name, maxBytes - offset)
    const facts = factsOf(array, file.length)
    const local = Buffer.alloc(LOCAL_BYTES)
    local.writeUInt32LE(LOCAL)
    facts.copy(local, 4)
    parts.push(local, file, array)
    const central = Buffer.alloc(CENTRAL_BYTES)
    central.writeUInt32LE(CENTRAL)
    central.writeUInt16LE(VERSION, 4)
    facts.copy(central, 6)
    central.writeUInt32LE(offset, 42)
    directory.push(central, file)
    offset += LOCAL_BYTES + file.length + array.length
    if (offset > maxBytes) throw responseTooLarge(maxBytes)
  }
  const end = Buffer.alloc(END_BYTES)
  end.writeUInt32LE(END)
  end.writeUInt16LE(outputs.length, 8)
  end.writeUInt16LE(outputs.length, 10)
  const size = directory.reduce((sum, { length }) => sum + length, 0)
  end.writeUInt32LE(size, 12)
  end.writeUInt32LE(offset, 16)
  if (offset + size + END_BYTES > maxBytes) throw responseTooLarge(maxBytes)
  return Buffer.concat([...parts, ...directory, end])
}

/** The members that both headers of an entry have: it is stored without compression. */
function factsOf(array: Buffer, nameBytes: number): Buffer {
  const facts = Buffer.alloc(LOCAL_BYTES - 4)
  facts.writeUInt16LE(VERSION)
  facts.writeUInt16LE(UTF8_FLAG, 2)
  facts.writeUInt16LE(DATE, 8)
  facts.writeUInt32LE(crcOf(array), 10)
  facts.writeUInt32LE(array.length, 14)
  facts.writeUInt32LE(array.length, 18)
  facts.writeUInt16LE(nameBytes, 22)
  return facts
}

function crcOf(bytes: Buffer): number {
  let crc = 0xff_ff_ff_ff
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8)
  return (crc ^ 0xff_ff_ff_ff) >>> 0
}
