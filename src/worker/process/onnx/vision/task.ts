/** The tasks of image models besides classification: what their outputs become. */
import type { ModelSettings } from '../../../../model-folder/settings.ts'
import type { Rows } from '../image-response/csv.ts'
import type { TaskType } from '../image-response/response-type.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { detect } from './detection/detect.ts'
import { planDetection } from './detection/plan.ts'
import { drawAreas } from './drawing/areas.ts'
import { drawDetections } from './drawing/boxes.ts'
import { maskPng } from './drawing/mask-png.ts'
import { drawOn } from './drawing/photo.ts'
import type { DrawnType } from './drawing/photo.ts'
import { featuresOf, planFeatures } from './features.ts'
import type { PixelMap } from './geometry.ts'
import { areasOf, masksOf, planSegmentation } from './segmentation.ts'
import type { Mask, SegmentationPlan } from './segmentation.ts'

/** One image of a request. */
export interface SentImage {
  readonly bytes: Buffer
  readonly map: PixelMap
}

/** What an image model does. It does not change after the load. */
export interface VisionTask {
  /** The outputs to compute. */
  readonly outputNames: readonly string[]
  /** What it responds with besides JSON. */
  readonly types: readonly TaskType[]
  /** Returns the result of each image as JSON text. `outputs` are those of `outputNames`. */
  toJson(outputs: readonly Tensor[], images: readonly SentImage[]): readonly string[]
  /** Returns the names of columns, and the rows of each image. */
  toTable(
    outputs: readonly Tensor[],
    images: readonly SentImage[],
  ): { readonly columns: readonly string[]; readonly rows: readonly Rows[] }
  /** Returns the bytes of an image that shows the result; absent if there is nothing to draw. */
  readonly draw?: (
    outputs: readonly Tensor[],
    image: SentImage,
    type: DrawnType,
  ) => Buffer | Promise<Buffer>
}

/** With the drawn image first: a wildcard asks for it. */
const DRAWN_TYPES: readonly TaskType[] = ['image/png', 'image/jpeg', 'text/csv']

/**
 * Returns the task that `model.json` declares; `undefined` for classification.
 * @throws ServerError `InvalidModelException` when the model does not suit the task.
 */
export function createTask(
  outputs: readonly TensorSpec[],
  { task: settings, output }: ModelSettings,
  labels: readonly string[] = [],
): VisionTask | undefined {
  switch (settings?.type) {
    case undefined:
    case 'classification':
      return undefined
    case 'detection': {
      const plan = planDetection(outputs, settings, labels, output)
      return {
        outputNames: plan.outputNames,
        types: DRAWN_TYPES,
        toJson: (tensors, images) =>
          detect(plan, tensors, mapsOf(images)).map((found) =>
            lines(found.map((one) => JSON.stringify(one))),
          ),
        toTable: (tensors, images) => ({
          columns: ['label', 'score', 'x1', 'y1', 'x2', 'y2'],
          rows: detect(plan, tensors, mapsOf(images)).map((found) =>
            found.map((one) => [one.class, one.score, ...one.box]),
          ),
        }),
        draw: (tensors, image, type) => {
          const [found = []] = detect(plan, tensors, [image.map])
          return drawOn(image.bytes, type, (canvas, factor) =>
            drawDetections(canvas, found, factor),
          )
        },
      }
    }
    case 'segmentation': {
      const plan = planSegmentation(outputs, settings, labels, output)
      return {
        outputNames: [plan.output],
        types: DRAWN_TYPES,
        toJson: (tensors, images) =>
          masks(plan, tensors, images).map((mask) => segmentationJson(plan, mask)),
        toTable: (tensors, images) => ({
          columns: ['label', 'pixels', 'share'],
          rows: masks(plan, tensors, images).map((mask) =>
            areasOf(mask, plan.labels).map((one) => [one.class, one.pixels, one.share]),
          ),
        }),
        draw: (tensors, image, type) => {
          const [mask] = masks(plan, tensors, [image])
          if (mask === undefined) throw new TypeError('no mask to draw')
          return type === 'image/png'
            ? maskPng(mask, plan.hasBackground)
            : drawMask(plan, mask, image)
        },
      }
    }
    case 'features': {
      const plan = planFeatures(outputs, settings, output)
      return {
        outputNames: [plan.output],
        types: ['text/csv'],
        toTable: ([tensor], images) => {
          const vectors = featuresOf(plan, given(tensor), images.length)
          const [first = []] = vectors
          return {
            columns: first.map((_, index) => `${plan.output}_${index}`),
            rows: vectors.map((vector) => [vector]),
          }
        },
        toJson: ([tensor], images) =>
          featuresOf(plan, given(tensor), images.length).map((one) => JSON.stringify(one)),
      }
    }
  }
}

/** A JSON list with one line for each entry. */
export function lines(entries: readonly string[]): string {
  return entries.length === 0 ? '[]' : `[\n${entries.join(',\n')}\n]`
}

function segmentationJson({ labels, hasBackground }: SegmentationPlan, mask: Mask): string {
  const { width, height } = mask
  const classes = areasOf(mask, labels)
  const png = maskPng(mask, hasBackground).toString('base64')
  return JSON.stringify({ width, height, classes, mask: png }, undefined, 2)
}

function drawMask(
  { labels, hasBackground }: SegmentationPlan,
  mask: Mask,
  { bytes }: SentImage,
): Promise<Buffer> {
  const areas = areasOf(mask, labels)
  return drawOn(bytes, 'image/jpeg', (canvas) => drawAreas(canvas, mask, areas, hasBackground))
}

function masks(
  plan: SegmentationPlan,
  [tensor]: readonly Tensor[],
  images: readonly SentImage[],
): readonly Mask[] {
  return masksOf(plan, given(tensor), mapsOf(images))
}

function mapsOf(images: readonly SentImage[]): readonly PixelMap[] {
  return images.map(({ map }) => map)
}

function given(tensor: Tensor | undefined): Tensor {
  if (tensor === undefined) throw new TypeError('no output to encode')
  return tensor
}
