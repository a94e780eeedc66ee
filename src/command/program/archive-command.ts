/** The description of `onnxd archive`. It has the flags of the archivers of MMS and TorchServe. */
import type { CommandSpec, FlagSpec } from './command-spec.ts'

/** Flags of `model-archiver` and `torch-model-archiver`. */
const FLAGS_OF_ARCHIVERS: readonly FlagSpec[] = [
  {
    name: 'serialized-file',
    value: 'FILE',
    text: 'Weights for a Python handler, such as a .pt file (serializedFile in the manifest).',
  },
  { name: 'model-file', value: 'FILE', text: 'Python file with the class of the model.' },
  { name: 'config-file', short: 'c', value: 'FILE', text: 'YAML file for the Python handler.' },
  {
    name: 'requirements-file',
    short: 'r',
    value: 'FILE',
    text: 'List of Python packages. onnxd does not install them.',
  },
  { name: 'model-name', value: 'NAME', text: 'The same as --name.' },
  { name: 'model-path', value: 'DIR', text: 'The same as the argument.' },
  { name: 'export-path', value: 'DIR', text: 'The same as --output.' },
  {
    name: 'archive-format',
    value: 'FORMAT',
    text: 'default, or zip-store, which is the same as --store.',
  },
]

/** `onnxd archive`. */
export const ARCHIVE: CommandSpec = {
  usage: 'archive [DIR|FILE]',
  summary: 'write a model archive (.mar) for onnxd, MMS and TorchServe',
  arity: [0, 1],
  flags: [
    {
      name: 'name',
      value: 'NAME',
      text: 'Name of the model. Default: from its manifest, else from the folder or file.',
    },
    {
      name: 'version',
      short: 'v',
      value: 'VERSION',
      text: 'Version of the model. Default: from its files, else 1.0.',
    },
    {
      name: 'handler',
      value: 'HANDLER',
      text: 'FILE or FILE:FUNCTION of your code; onnx or image; or a handler of TorchServe, such as image_classifier.',
    },
    {
      name: 'extra-files',
      value: 'FILES',
      isRepeatable: true,
      text: 'More files and folders, separated by commas. The files of a folder are added without the folder.',
    },
    {
      name: 'output',
      short: 'o',
      value: 'FILE|DIR',
      text: 'The archive, or the folder for it. Default: NAME.mar in the current folder.',
    },
    { name: 'force', short: 'f', text: 'Replace an archive that exists.' },
    {
      name: 'store',
      text: 'Do not compress any file. Default: files are compressed that get a fifth smaller.',
    },
    {
      name: 'runtime',
      value: 'RUNTIME',
      text: 'Runtime in the manifest. Default: that of the manifest, else python, which MMS and TorchServe need.',
    },
    ...FLAGS_OF_ARCHIVERS,
  ],
  details:
    'DIR is the folder of a model, FILE an .onnx file, an archive, or weights for a Python handler. The same files give the same bytes, whatever their times, order and folder are.',
  examples: [
    'archive models/flowers',
    'archive iris.onnx --name iris --version 2.0 -o store/',
    'archive --model-name net --serialized-file net.pt --handler image_classifier --extra-files index_to_name.json',
  ],
  load: async () => (await import('../offline/archive/archive.ts')).archiveModel,
}
