/** Settings of the recording of requests. */
import { count, list, text } from './fields.ts'

export const recordingSettings = {
  record: text(
    'File that keeps the last prediction requests and their responses for `onnxd replay`. It contains what clients send. Empty: nothing is recorded.',
    '',
  ),
  recordMib: count(
    'Size of the file of `record`, in MiB; the newest requests replace the oldest.',
    64,
    1,
    65_536,
  ),
  recordModels: list('Models whose requests are recorded; empty: all models.'),
  recordRedact: list(
    'Names of headers and query parameters that are recorded without their value, besides tokens, cookies and other secrets.',
  ),
}
