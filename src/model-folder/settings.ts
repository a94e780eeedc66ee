/**
 * `model.json`, the optional file beside a model. Both processes read it: the front-end for workers
 * and batching, the worker for handler, labels, preprocessing and session options.
 */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'
import { HANDLER_PROPERTIES } from './handler-settings.ts'
import { ImageSettings } from './image-settings.ts'
import { PipelineSettings } from './pipeline-settings.ts'
import { TABLE_PROPERTIES } from './table-settings.ts'
import { TaskSettings } from './task-settings.ts'
import { TextSettings } from './text-settings.ts'
import { FILE_PROPERTIES } from './version-settings.ts'

export { MODEL_SETTINGS_FILE } from './paths.ts'

export const ModelSettings = Type.Object(
  {
    model: Type.Optional(
      Type.String({
        description: 'Name of the `.onnx` file. Needed if the folder contains several.',
      }),
    ),
    version: Type.Optional(Type.String({ description: 'Version of the model. Default: `1.0`.' })),
    pythonWorker: Type.Optional(
      stringEnum(['mms', 'torchserve'], {
        description:
          'Python worker that runs the handler: that of MMS or of TorchServe. Default: the one that the manifest was written for, else the one that is installed.',
      }),
    ),
    labels: Type.Optional(
      Type.String({
        description:
          'File with the class labels: one on each line, or JSON. Default: `id2label` in a `config.json` beside the model, or `names` in the metadata of the `.onnx` file. `/predictions` returns labels of this setting in place of class numbers.',
      }),
    ),
    topK: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description: 'Number of classes in a response. Default: 5.',
      }),
    ),
    softmax: Type.Optional(
      Type.Boolean({
        description: 'Apply softmax to the class scores, so that responses contain probabilities.',
      }),
    ),
    output: Type.Optional(
      Type.String({
        description:
          'Name of the output that the image handler reads, such as the class scores; default: the only float output of shape [N,classes], or that of the task. For other models the name of an integer output with class numbers, to return its labels.',
      }),
    ),
    probabilities: Type.Optional(
      stringEnum(['object', 'array'], {
        description:
          'Form of the class scores in responses of `/predictions`: an object keyed by label, or an array. Default: `object` for a model exported with `ZipMap`, else `array`.',
      }),
    ),
    allowEmptyInputs: Type.Optional(
      Type.Boolean({
        description:
          'Allow an input without elements beside others that have some, for models that are made for it, such as a text generator whose cache is empty at first. Default: false, because [some models respond with remains of other requests](inputs.md#inputs-without-elements).',
      }),
    ),
    image: Type.Optional(ImageSettings),
    task: Type.Optional(TaskSettings),
    ...TABLE_PROPERTIES,
    text: Type.Optional(TextSettings),
    pipeline: Type.Optional(PipelineSettings),
    ...FILE_PROPERTIES,
    ...HANDLER_PROPERTIES,
    pinned: Type.Optional(
      Type.Boolean({ description: 'Once loaded on demand, never unload the model for others.' }),
    ),
    idempotent: Type.Optional(
      Type.Boolean({
        description:
          'Allow the custom handler to run twice for one request: if its worker dies, the request is retried.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type ModelSettings = Static<typeof ModelSettings>
