/** Draws on an image of RGB bytes. Everything outside the image is cut off. */
import type { Size } from '../geometry.ts'
import type { Color } from './colors.ts'
import { ADVANCE, GLYPH_HEIGHT, GLYPH_WIDTH, strokesOf } from './glyphs.ts'

/** A rectangle in whole pixels. */
export interface Rectangle extends Size {
  readonly left: number
  readonly top: number
}

const CHANNELS = 3

export class Canvas {
  readonly width: number
  readonly height: number
  readonly #pixels: Uint8Array
  /** Coverage of each glyph that was drawn, from 0 to 1. */
  readonly #glyphs = new Map<string, Float32Array | undefined>()

  /** @param pixels RGB bytes, row by row; they are changed. */
  constructor(pixels: Uint8Array, { width, height }: Size) {
    this.#pixels = pixels
    this.width = width
    this.height = height
  }

  /** Fills a rectangle. `opacity` is from 0 to 1. */
  fillRectangle({ left, top, width, height }: Rectangle, color: Color, opacity = 1): void {
    const right = Math.min(left + width, this.width)
    for (let y = Math.max(top, 0); y < Math.min(top + height, this.height); y++) {
      for (let x = Math.max(left, 0); x < right; x++) this.#blend(x, y, color, opacity)
    }
  }

  /** Draws the edges of a rectangle, inside it. */
  frame({ left, top, width, height }: Rectangle, color: Color, line: number): void {
    const across = Math.min(line, width)
    const down = Math.min(line, height)
    this.fillRectangle({ left, top, width, height: down }, color)
    this.fillRectangle({ left, top: top + height - down, width, height: down }, color)
    const between = { top: top + down, height: Math.max(0, height - 2 * down), width: across }
    this.fillRectangle({ left, ...between }, color)
    this.fillRectangle({ left: left + width - across, ...between }, color)
  }

  /** Draws a text; `left` and `top` are the corner of its first capital. */
  text(text: string, left: number, top: number, color: Color, scale: number): void {
    const columns = Math.ceil(GLYPH_WIDTH * scale)
    for (const [place, character] of Array.from(text).entries()) {
      const coverage = this.#coverage(character, scale)
      const start = left + Math.round(place * ADVANCE * scale)
      for (const [at, share] of (coverage ?? []).entries()) {
        const x = start + (at % columns)
        const y = top + Math.floor(at / columns)
        if (share > 0 && x >= 0 && y >= 0 && x < this.width && y < this.height)
          this.#blend(x, y, color, share)
      }
    }
  }

  /** Mixes the color of each pixel with one that `colorAt` returns. */
  paint(colorAt: (pixel: number) => Color | undefined, opacity: number): void {
    for (let pixel = 0; pixel < this.width * this.height; pixel++) {
      const color = colorAt(pixel)
      if (color !== undefined) this.#blendAt(pixel * CHANNELS, color, opacity)
    }
  }

  #blend(x: number, y: number, color: Color, opacity: number): void {
    this.#blendAt((y * this.width + x) * CHANNELS, color, opacity)
  }

  #blendAt(start: number, color: Color, opacity: number): void {
    for (let channel = 0; channel < CHANNELS; channel++) {
      const before = this.#pixels[start + channel] ?? 0
      const wanted = color[channel] ?? 0
      this.#pixels[start + channel] = Math.round(before + (wanted - before) * opacity)
    }
  }

  #coverage(character: string, scale: number): Float32Array | undefined {
    const key = `${character} ${scale}`
    if (!this.#glyphs.has(key)) this.#glyphs.set(key, glyphCoverage(character, scale))
    return this.#glyphs.get(key)
  }
}

/** How much of each pixel the lines of a glyph cover, row by row. */
function glyphCoverage(character: string, scale: number): Float32Array | undefined {
  const strokes = strokesOf(character)
  if (strokes === undefined) return undefined
  const columns = Math.ceil(GLYPH_WIDTH * scale)
  const coverage = new Float32Array(columns * Math.ceil(GLYPH_HEIGHT * scale))
  const radius = Math.max(0.5, 0.42 * scale)
  for (const [at] of coverage.entries()) {
    const x = (at % columns) + 0.5
    const y = Math.floor(at / columns) + 0.5
    for (const stroke of strokes) {
      const [x1, y1, x2, y2] = stroke.map((unit) => (unit + 0.5) * scale) as [
        number,
        number,
        number,
        number,
      ]
      const [dx, dy] = [x2 - x1, y2 - y1]
      const length = dx * dx + dy * dy
      const along = length === 0 ? 0 : ((x - x1) * dx + (y - y1) * dy) / length
      const nearest = Math.min(Math.max(along, 0), 1)
      const distance = Math.hypot(x - x1 - nearest * dx, y - y1 - nearest * dy)
      const share = Math.min(Math.max(radius + 0.5 - distance, 0), 1)
      if (share > (coverage[at] ?? 0)) coverage[at] = share
    }
  }
  return coverage
}
