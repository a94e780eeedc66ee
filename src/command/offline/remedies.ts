/** What to do about a model that cannot be served. */

/** A part of the reason, and the remedy. */
const REMEDIES: readonly (readonly [pattern: RegExp, remedy: string])[] = [
  [
    /HTML or XML page/i,
    'A login or error page was saved in place of the file. Download the file itself.',
  ],
  [
    /text file, not an ONNX model/i,
    'If the file is a pointer of Git LFS, run git lfs pull. Otherwise export the model again.',
  ],
  [
    /custom handlers?|allow-handlers/i,
    'If you trust the code of the model, serve it with --allow-handlers. To check it: onnxd check … -- --allow-handlers',
  ],
  [
    /external (?:data|weights)|weights.*(?:missing|not found)|has no file|no such file/i,
    'Copy all files of the export into the folder of the model. An export above 2 GB writes several files.',
  ],
  [
    /opset|IR version|ir_version/i,
    'Export the model with an older opset, for example opset_version=17, or update onnxd.',
  ],
  [
    /not a registered function|no op registered|custom operator|is not supported|not implemented/i,
    'Export the model without operators that onnxruntime does not have; onnxd loads no libraries with custom operators.',
  ],
  [
    /The model has no \.onnx file/,
    'If the folder holds several models, it is a model store: check its subfolders, or serve it with --model-store.',
  ],
  [/\.ort\b/i, 'Serve the .onnx file that the .ort file was made from.'],
  [/python/i, 'Install the worker package for this Python, and name it with --python.'],
  [/memory/i, 'Free memory, or raise workerMemoryMib. A quantized model needs less.'],
  [/contains \d+ \.onnx files/i, 'onnxd init writes a model.json that you can complete.'],
  [/protobuf|damaged|truncated|not a valid onnx|invalid model/i, 'Export or copy the file again.'],
  [
    /model\.json/i,
    'Correct model.json. docs/model-files.md lists its keys; onnxd init writes one.',
  ],
  [/load timeout|startup timeout/i, 'Raise --load-timeout, or set "warmUp": false in model.json.'],
  [/EACCES|permission/i, 'Let the user of the server read the files.'],
]

/** Endings of files that other frameworks write, and what to do with them. */
const FOREIGN: Readonly<Record<string, string>> = {
  '.pt': 'a PyTorch file; export it with torch.onnx.export, see docs/export.md',
  '.pth': 'a PyTorch file; export it with torch.onnx.export, see docs/export.md',
  '.safetensors': 'weights only; export the model to ONNX, see docs/export.md',
  '.pb': 'a TensorFlow file; convert it with tf2onnx, see docs/export.md',
  '.tflite': 'a TensorFlow Lite file; convert it with tf2onnx, see docs/export.md',
  '.h5': 'a Keras file; convert it with tf2onnx, see docs/export.md',
  '.keras': 'a Keras file; convert it with tf2onnx, see docs/export.md',
  '.pkl': 'a pickled Python object; convert it with skl2onnx, see docs/export.md',
  '.joblib': 'a pickled Python object; convert it with skl2onnx, see docs/export.md',
  '.ort': 'a file for mobile builds of onnxruntime; serve the .onnx file it was made from',
}

/** The remedy for a reason; `undefined` if the reason says enough itself. */
export function remedyFor(reason: string): string | undefined {
  return REMEDIES.find(([pattern]) => pattern.test(reason))?.[1]
}

/** Names the framework that writes files with an extension; `undefined` for other extensions. */
export function foreignFile(extension: string): string | undefined {
  const ending = extension.toLowerCase()
  return Object.hasOwn(FOREIGN, ending) ? FOREIGN[ending] : undefined
}
