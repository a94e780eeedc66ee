/** File names inside a model's folder. Apart from the schemas of those files, which cost 15 MB to load. */

/** onnxd's own settings of a model. */
export const MODEL_SETTINGS_FILE = 'model.json'
/** Manifest of an archive, as the archivers of MMS and TorchServe write it. */
export const MANIFEST_FILE = 'MAR-INF/MANIFEST.json'

/** Ending of a network, in whatever case: files that come from Windows are called `MODEL.ONNX`. */
export const NETWORK_EXTENSION = '.onnx'

/** Whether a file is a network, by its name. */
export function isNetworkFile(file: string): boolean {
  return file.toLowerCase().endsWith(NETWORK_EXTENSION)
}

/** Whether a file has the name that a folder's own network has. */
export function isOwnNetwork(name: string): boolean {
  return name.toLowerCase() === 'model.onnx'
}
