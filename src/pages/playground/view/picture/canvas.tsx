import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { CanvasSize } from './drawing.ts'

interface CanvasProps {
  readonly image: ImageBitmap | undefined
  readonly label: string
  readonly draw: (context: CanvasRenderingContext2D, size: CanvasSize) => void
}

const MAX_HEIGHT = 640

/** Draws an image and what belongs on it, in the resolution of the screen. */
export function Canvas({ image, label, draw }: CanvasProps): JSX.Element {
  const element = useRef<HTMLCanvasElement>(null)
  const frame = useRef<HTMLDivElement>(null)
  const [available, setAvailable] = useState(0)
  useEffect(() => {
    if (frame.current === null) return undefined
    const observer = new ResizeObserver(([entry]) => setAvailable(entry?.contentRect.width ?? 0))
    observer.observe(frame.current)
    return () => observer.disconnect()
  }, [])
  useEffect(() => {
    const canvas = element.current
    const context = canvas?.getContext('2d') ?? null
    if (canvas === null || context === null || image === undefined || available === 0) return
    const factor = Math.min(available / image.width, MAX_HEIGHT / image.height)
    const density = devicePixelRatio
    const scale = factor * density
    const [width, height] = [Math.round(image.width * scale), Math.round(image.height * scale)]
    canvas.width = width
    canvas.height = height
    canvas.style.width = `${width / density}px`
    // The pixels of a very small image stay visible.
    context.imageSmoothingEnabled = factor < 4
    context.drawImage(image, 0, 0, width, height)
    draw(context, { scale, density, width, height })
  })
  return (
    <div class="canvas-frame" ref={frame}>
      {image === undefined ? (
        <p class="dim small">This browser cannot show the image.</p>
      ) : (
        <canvas ref={element} role="img" aria-label={label} />
      )}
    </div>
  )
}
