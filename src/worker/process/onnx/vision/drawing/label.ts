/** Draws texts on a colored background. */
import type { Size } from '../geometry.ts'
import type { Canvas, Rectangle } from './canvas.ts'
import { textColorOn } from './colors.ts'
import type { Color } from './colors.ts'
import { ADVANCE, GLYPH_HEIGHT, strokesOf } from './glyphs.ts'

const MAX_NAME = 24
/** Pixels of the shorter side of an image for each pixel of a letter's line. */
const PIXELS_PER_SCALE = 320
const OPACITY = 0.85

/** Pixels for each unit of the alphabet: at least one, in steps of a half. */
export function textScale({ width, height }: Size): number {
  return Math.max(1, Math.round((2 * Math.min(width, height)) / PIXELS_PER_SCALE) / 2)
}

/** The name without accents, cut to 24 letters; its number if it has other letters. */
export function drawableName(name: string, index: number): string {
  const plain = name.normalize('NFD').replaceAll(/\p{M}/gu, '').replaceAll(/\s+/g, ' ').trim()
  const canDraw = plain !== '' && Array.from(plain).every((one) => strokesOf(one) !== undefined)
  if (!canDraw) return `#${index}`
  return plain.length > MAX_NAME ? `${plain.slice(0, MAX_NAME)}...` : plain
}

/** The size of a label. */
export function labelSize(text: string, scale: number): Size {
  const margin = Math.ceil(scale)
  const width = Math.ceil((text.length * ADVANCE - 1) * scale) + 2 * margin
  return { width, height: Math.ceil((GLYPH_HEIGHT - 1) * scale) + margin }
}

/** Draws a label. The place has the size of {@link labelSize} for the scale of the canvas. */
export function drawLabel(canvas: Canvas, text: string, place: Rectangle, color: Color): void {
  const scale = textScale(canvas)
  const margin = Math.ceil(scale)
  canvas.fillRectangle(place, color, OPACITY)
  canvas.text(text, place.left + margin, place.top + margin, textColorOn(color), scale)
}
