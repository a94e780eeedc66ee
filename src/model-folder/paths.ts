/**
 * File names inside a model's folder. They are separate from the schemas of those files, which need
 * 15 MB of memory.
 */

/** onnxd's settings of a model. */
export const MODEL_SETTINGS_FILE = 'model.json'
/** Preprocessing of a model from Hugging Face, which the image handler reads. */
export const PREPROCESSOR_FILE = 'preprocessor_config.json'
/** Manifest of an archive, as the archivers of MMS and TorchServe write it. */
export const MANIFEST_FILE = 'MAR-INF/MANIFEST.json'

/**
 * Extension of a model file. Its case is ignored: files from Windows may be called `MODEL.ONNX`.
 */
export const NETWORK_EXTENSION = '.onnx'

/** Whether a file is an ONNX model, by its name. */
export function isNetworkFile(file: string): boolean {
  return file.toLowerCase().endsWith(NETWORK_EXTENSION)
}

/** Whether a file has the default name of a folder's model, `model.onnx`, in any case. */
export function isOwnNetwork(name: string): boolean {
  return name.toLowerCase() === 'model.onnx'
}
