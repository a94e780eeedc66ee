import type { JSX } from 'preact'
import { useEffect, useMemo, useState } from 'preact/hooks'
import { formatPercent } from '../../../shared/format.ts'
import { paletteOf } from '../../result/palette.ts'
import type { Detection, ResultView } from '../../result/result-view.ts'
import { colorOf } from '../colors.ts'
import { shortNumber } from '../numbers.ts'
import { Canvas } from './canvas.tsx'
import { drawDetections, drawMask } from './drawing.ts'

/** The image with the found objects drawn on it, and a list of them. */
export function DetectionPicture({
  items,
  file,
}: {
  items: readonly Detection[]
  file: File | undefined
}): JSX.Element {
  const image = useBitmap(file)
  return (
    <figure class="picture">
      <Canvas
        image={image}
        label={`The image with ${items.length} boxes`}
        draw={(context, size) => drawDetections(context, size, items)}
      />
      {items.length === 0 ? (
        <p class="dim">The model found no objects in this image.</p>
      ) : (
        <div class="table-frame" tabIndex={0} role="region" aria-label="Objects">
          <table class="table">
            <caption class="only-read">Objects</caption>
            <thead>
              <tr>
                <th scope="col">Class</th>
                <th scope="col" class="number">
                  Score
                </th>
                <th scope="col" class="number">
                  Box
                </th>
              </tr>
            </thead>
            <tbody>
              {items.map(({ label, index, score, box }, row) => (
                <tr key={row}>
                  <th scope="row">
                    <span
                      class="swatch"
                      style={{ background: colorOf(index) }}
                      aria-hidden="true"
                    />
                    {label}
                  </th>
                  <td class="number">{shortNumber(score)}</td>
                  <td class="number">{box.map((edge) => Math.round(edge)).join(', ')}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <p class="field-hint">Box: left, top, right and bottom edge, in pixels of the image.</p>
        </div>
      )}
    </figure>
  )
}

type MaskView = Extract<ResultView, { kind: 'mask' }>

/** The image with the areas of the classes in colours, and a list of the classes. */
export function MaskPicture({
  view,
  file,
}: {
  view: MaskView
  file: File | undefined
}): JSX.Element {
  const { mask, areas } = view
  const png = useMemo(() => Uint8Array.from(atob(mask), (byte) => byte.charCodeAt(0)), [mask])
  const image = useBitmap(file)
  const layer = useBitmap(useMemo(() => new Blob([png], { type: 'image/png' }), [png]))
  const palette = paletteOf(png)
  return (
    <figure class="picture">
      <Canvas
        image={image ?? layer}
        label="The image with the areas of the classes in colours"
        draw={(context, size) => {
          if (layer !== undefined) drawMask(context, size, layer)
        }}
      />
      <ul class="legend">
        {areas.map(({ label, index, share }) => (
          <li key={index}>
            <span
              class="swatch"
              style={{ background: palette[index] ?? 'transparent' }}
              aria-hidden="true"
            />
            {label} <span class="dim">{formatPercent(share)}</span>
          </li>
        ))}
      </ul>
    </figure>
  )
}

/** Decodes an image; `undefined` until then, and for an image that the browser cannot read. */
function useBitmap(content: Blob | undefined): ImageBitmap | undefined {
  const [bitmap, setBitmap] = useState<ImageBitmap>()
  useEffect(() => {
    let isGone = false
    setBitmap(undefined)
    if (content !== undefined) {
      createImageBitmap(content).then(
        (decoded) => {
          if (!isGone) setBitmap(decoded)
        },
        () => undefined,
      )
    }
    return () => {
      isGone = true
    }
  }, [content])
  return bitmap
}
