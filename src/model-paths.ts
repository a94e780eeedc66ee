/** File names inside a model's folder. Apart from the schemas of those files, which cost 15 MB to load. */

/** onnxd's own settings of a model. */
export const MODEL_SETTINGS_FILE = 'model.json'
/** Manifest of an archive, as the archivers of MMS and TorchServe write it. */
export const MANIFEST_FILE = 'MAR-INF/MANIFEST.json'
