/** What commands that talk to a running server have in common. */
import type { FlagSpec } from './command-spec.ts'

export const URL_FLAG: FlagSpec = {
  name: 'url',
  value: 'URL',
  text: 'Management listener. Default: ONNXD_URL, else http://127.0.0.1:8081.',
}
export const INFERENCE_URL_FLAG: FlagSpec = {
  name: 'url',
  value: 'URL',
  text: 'Inference listener. Default: ONNXD_INFERENCE_URL, else http://127.0.0.1:8080.',
}
export const TOKEN = 'If the server has a management token, set ONNXD_MANAGEMENT_TOKEN.'
export const MODEL = 'MODEL is a name, or name:version for another version than the default one.'
