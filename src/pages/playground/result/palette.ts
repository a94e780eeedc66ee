/** Reads the colours of a PNG with a palette. */

const SIGNATURE_BYTES = 8
const CHUNK_BYTES = 12

/** The colours of the palette as CSS colours, in their order; none if the file has no palette. */
export function paletteOf(png: Uint8Array): string[] {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength)
  let at = SIGNATURE_BYTES
  while (at + CHUNK_BYTES <= png.length) {
    const length = view.getUint32(at)
    const type = String.fromCharCode(...png.subarray(at + 4, at + 8))
    const start = at + 8
    if (type === 'PLTE') {
      const bytes = png.subarray(start, start + length)
      return Array.from({ length: Math.floor(bytes.length / 3) }, (_, index) => {
        const [red, green, blue] = bytes.subarray(index * 3, index * 3 + 3)
        return `rgb(${red} ${green} ${blue})`
      })
    }
    at += CHUNK_BYTES + length
  }
  return []
}
