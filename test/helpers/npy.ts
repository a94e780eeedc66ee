/** Files in the format of `numpy.save`. */

export interface NpyFile {
  /** NumPy's name of the type, such as `<f4`. */
  readonly descr: string
  readonly shape: readonly number[]
  readonly data: Buffer
  readonly fortranOrder?: boolean
  /** Version of the format: 1, 2 or 3. */
  readonly version?: number
  /** Replaces the header that the other members give. */
  readonly header?: string
}

export function npyFile({ descr, shape, data, ...rest }: NpyFile): Buffer {
  const { fortranOrder = false, version = 1 } = rest
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const order = fortranOrder ? 'True' : 'False'
  const text =
    rest.header ?? `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${tuple}), }`
  const prefix = version === 1 ? 10 : 12
  const padded = `${text.padEnd(Math.ceil((prefix + text.length + 1) / 64) * 64 - prefix - 1)}\n`
  const length = Buffer.alloc(version === 1 ? 2 : 4)
  if (version === 1) length.writeUInt16LE(padded.length)
  else length.writeUInt32LE(padded.length)
  const magic = Buffer.from([0x93, ...Buffer.from('NUMPY'), version, 0])
  return Buffer.concat([magic, length, Buffer.from(padded, 'latin1'), data])
}
