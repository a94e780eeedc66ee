/**
 * `MAR-INF/MANIFEST.json` of a model archive, as the archivers of MMS and TorchServe write it. The
 * schema has only the keys that onnxd reads; unknown keys are ignored, as in both servers.
 */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'

export { MANIFEST_FILE } from './paths.ts'

export const Manifest = Type.Object({
  runtime: Type.Optional(Type.String()),
  /** Only MMS's archiver writes the first two keys; only TorchServe's writes the other two. */
  specificationVersion: Type.Optional(Type.Unknown()),
  implementationVersion: Type.Optional(Type.Unknown()),
  archiverVersion: Type.Optional(Type.Unknown()),
  createdOn: Type.Optional(Type.Unknown()),
  engine: Type.Optional(
    Type.Object({
      engineName: Type.Optional(Type.String()),
      engineVersion: Type.Optional(Type.String()),
    }),
  ),
  model: Type.Optional(
    Type.Object({
      modelName: Type.Optional(Type.String()),
      modelVersion: Type.Optional(Type.Union([Type.String(), Type.Number()])),
      description: Type.Optional(Type.String()),
      handler: Type.Optional(Type.String()),
      serializedFile: Type.Optional(Type.String()),
      envelope: Type.Optional(Type.String()),
    }),
  ),
})
export type Manifest = Static<typeof Manifest>
