/** Chooses the Python worker for a model with a Python handler. */
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import { isNetworkFile } from '../../model-folder/paths.ts'
import { PYTHON_PACKAGES } from '../../worker/host/python/python-installation.ts'
import type { PythonInstallation } from '../../worker/host/python/python-installation.ts'
import type { WireDialect } from '../../worker/wire/messages.ts'
import type { PreparedModel } from '../sources/prepare.ts'

/** An interpreter, and the worker to run with it. */
export interface ChosenPython {
  readonly python: PythonInstallation
  readonly dialect: WireDialect
}

/**
 * Chooses the worker for a model: the one that its manifest was written for or that `model.json`
 * names; else an installed one, MMS's first.
 * @throws ServerError `InvalidModelException` that says what is missing.
 */
export function choosePython(
  { name, pythonWorker }: PreparedModel,
  python: PythonInstallation | undefined,
): ChosenPython {
  if (python === undefined) {
    throw missing(
      `Model ${name} has a Python handler, but the server has no Python. Start it with --python PATH, where PATH is a Python interpreter or virtual environment with multi-model-server or torchserve installed.`,
    )
  }
  const dialect = pythonWorker ?? (python.homes.has('mms') ? 'mms' : 'torchserve')
  if (!python.homes.has(dialect)) {
    const [other = 'mms'] = python.homes.keys()
    throw missing(
      `Model ${name} was written for ${PYTHON_PACKAGES[dialect]}, which is not installed in the Python of the setting python. Install this package, or set "pythonWorker": "${other}" in model.json to use the other worker.`,
    )
  }
  return { python, dialect }
}

/** The workers of MMS and TorchServe load folders only. */
export function folderOf({ modelPath }: PreparedModel): string {
  return isNetworkFile(modelPath) ? path.dirname(modelPath) : modelPath
}

function missing(message: string): ServerError {
  return new ServerError('InvalidModelException', message)
}
