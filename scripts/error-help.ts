/**
 * Cause and remedy of each error type for `docs/errors.md`. The compiler checks that no type is
 * missing.
 */
import type { ErrorType } from '../src/errors.ts'

export interface ErrorHelp {
  readonly cause: string
  readonly remedy: string
}

export const ERROR_HELP: Readonly<Record<ErrorType, ErrorHelp>> = {
  BadRequestException: {
    cause:
      'The request itself is malformed: a parameter is missing or of the wrong type (numbers are written in plain digits), the body ends too early, a multipart body has no boundary, the management body is no JSON. With status 403: a model URL or its address is not allowed; 417: the expectation is not supported; 431: the headers are too large or too many; 501: the Transfer-Encoding is not supported.',
    remedy: 'Correct the request; the message names the parameter.',
  },
  InvalidInputException: {
    cause:
      'The model cannot take this input: no JSON, an unknown or missing input name, the wrong datatype or shape, a ragged array, a number that does not fit, a damaged picture. With status 406: the answer cannot be given as raw bytes.',
    remedy: 'Compare with the inputs that `GET /models/{model}` shows under `metadata`.',
  },
  InvalidModelException: {
    cause:
      'The model cannot be served: onnxruntime refuses the file, `model.json` or the manifest is malformed, the archive breaks a rule, the handler module has no entry point, the name is not allowed, the runtime is unknown. Or native code crashed while it loaded it (SIGSEGV, SIGABRT, SIGFPE and the like).',
    remedy:
      'Correct the model; the message says what is wrong with which file, and `log` has the last lines of the worker.',
  },
  UnauthorizedException: {
    cause:
      'The management address wants a bearer token and the request has none, or another one. `WWW-Authenticate` names the scheme.',
    remedy: 'Send `Authorization: Bearer …` with the value of `ONNXD_MANAGEMENT_TOKEN`.',
  },
  CrashingRequestException: {
    cause:
      'The body of this request has crashed two workers of the model. It is rejected for `crashQuarantine` seconds after the last crash, so that other requests keep their workers.',
    remedy:
      'Read the log: `worker died` names the signal. Repair the model, or do not send such input. The header `Retry-After` says for how long it is rejected.',
  },
  ForbiddenException: {
    cause:
      'Management has no token, and the request looks like one of a web page: a foreign `Origin`, `Sec-Fetch-Site` or `Referer`, or a `Host` that is neither an IP address nor localhost nor configured.',
    remedy:
      'Use a client that is not a web page; list the name in `allowedHosts`; or set `ONNXD_MANAGEMENT_TOKEN` and send it.',
  },
  HandlersNotAllowedException: {
    cause: 'The model brings code of its own, and the server was not started to run such code.',
    remedy: 'If you trust the model, start the server with `--allow-handlers`.',
  },
  InvalidModelVersionException: {
    cause: 'The version is the default of a model that has other versions.',
    remedy: 'Make another version the default first: `PUT /models/{model}/{version}/set-default`.',
  },
  DownloadModelException: {
    cause:
      'The model could not be fetched: the other server refused, broke off, redirected, or sent something else than was announced; its SHA-256 is another one. With status 504: it took longer than `downloadTimeout`, or nothing came for a minute.',
    remedy:
      'Fetch the same address by hand; the message has the status that was seen. Redirects are not followed: register the address they lead to.',
  },
  ModelNotFoundException: {
    cause: 'No model of this name is served; when registering, no such file or folder may be read.',
    remedy:
      'See `GET /models` for the names; see `--model-store` and `--allow-local-paths` for what may be registered.',
  },
  ModelVersionNotFoundException: {
    cause: 'The model is served, but not in this version.',
    remedy: 'Leave the version out for the default one.',
  },
  ResourceNotFoundException: {
    cause: 'The path is none of this listener’s. Predictions and management have different ports.',
    remedy: 'Check path and port.',
  },
  MethodNotAllowedException: {
    cause: 'The path exists, but not with this method.',
    remedy: 'Use a method that the `Allow` header of the answer lists.',
  },
  RequestTimeoutException: {
    cause:
      'The client took longer than `requestTimeout` to send its request, longer than `headersTimeout` for the head, or stopped sending its body for `bodyTimeout`.',
    remedy:
      'Send faster, or raise `--request-timeout`, `--headers-timeout` or `--body-timeout`; for uploads of models `--download-timeout` counts where it is longer.',
  },
  ConflictStatusException: {
    cause: 'A model of this name and version is served already, or is just being loaded.',
    remedy: 'Unregister it first, or register under another `model_name`.',
  },
  PayloadTooLargeException: {
    cause:
      'The body, a part of a form, an archive, an upload or a download is above its limit. With status 400: the body came in more than 65 536 pieces.',
    remedy:
      'Send less, or raise `--max-body-bytes`, `--max-json-bytes` or, for models, `--max-model-bytes`. JSON has the smaller limit; binary bodies carry the same tensor in a fraction of the bytes.',
  },
  UnsupportedMediaTypeException: {
    cause:
      'The built-in handlers do not read this content type, picture format or content encoding; a management request has a body that is neither JSON nor a form; or the Content-Type header is not a media type.',
    remedy:
      'Send JSON, `application/octet-stream` or a form; pictures as JPEG, PNG, WebP, GIF, TIFF or AVIF.',
  },
  ClientClosedRequestException: {
    cause:
      'The client closed the connection before its answer. A waiting request is dropped; one that runs is finished and its answer thrown away.',
    remedy: 'Seen in logs only.',
  },
  InternalServerException: {
    cause:
      '`Worker died: …`: the process that served the request ended, and why. `Failed to start workers: …`: the model did not load, and why. Any other text with 500 to 507: the handler failed, in its own words. `The server failed to handle the request.`: a fault of onnxd.',
    remedy:
      'Read the server’s log: it has the last lines the worker wrote to stderr. `GET /models/{model}` shows restarts and the last failure.',
  },
  ServiceUnavailableException: {
    cause:
      'No worker can take the request: none is running, the queue is full (`queueSize` requests or `queueBytes` bytes), the request waited longer than `queueTimeout` or than it allows itself, the model has failed for good, or the server is stopping. Or two models are being uploaded or downloaded already.',
    remedy:
      'Try again after the seconds in `Retry-After`. If it lasts, add workers or look at `status` and `lastFailure` of the model.',
  },
  ResponseTimeoutException: {
    cause:
      'The worker took longer than `responseTimeout` for one batch, or longer than `loadTimeout` to start. It was killed; a new one takes its place.',
    remedy: 'Send less at once, or raise `--response-timeout` or `--load-timeout`.',
  },
  InsufficientMemoryException: {
    cause:
      'The worker ran out of memory, the answer is larger than `maxResponseBytes`, or the disk is too full for an archive, upload or download.',
    remedy:
      'Send less at once, raise `--max-response-bytes` or `--worker-memory-mib` or `--worker-heap-mib`, serve fewer workers, or give the machine more.',
  },
  StateNotSavedException: {
    cause:
      'A registration, an unregistration, a scaling or a new default version could not be saved in the state folder: its disk is full or read-only, for example. The change has no effect, now and after a restart.',
    remedy:
      'Make room on the disk of `--state-dir`, or make it writable, and send the request again.',
  },
}
