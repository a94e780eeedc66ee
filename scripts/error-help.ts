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
      'The request is malformed: a parameter is missing or has the wrong type (numbers are written in plain digits), the body is incomplete, a multipart body has no boundary, or the body of a management request is not JSON. With status 403: the model URL or its IP address is not allowed. With status 417: the `Expect` header is not supported. With status 431: the headers are too large or too many. With status 501: the `Transfer-Encoding` header is not supported.',
    remedy: 'Correct the request. The message names the parameter.',
  },
  InvalidInputException: {
    cause:
      'The input does not fit the model: invalid JSON, an unknown or missing input name, a wrong datatype or shape, a ragged array, a number out of range, or a damaged image. With status 406: the response cannot be sent as raw bytes.',
    remedy: 'Compare the request with the inputs under `metadata` of `GET /models/{model}`.',
  },
  InvalidModelException: {
    cause:
      'The model cannot be served: onnxruntime rejects the file, `model.json` or the manifest is malformed, the archive is not valid, the handler module has no entry point, the model name is not allowed, or the runtime is unknown. Or native code crashed while it loaded the model (for example SIGSEGV, SIGABRT or SIGFPE).',
    remedy:
      'Correct the model. The message names the file and the problem; `log` contains the last lines of the worker.',
  },
  UnauthorizedException: {
    cause:
      'The listener requires a bearer token, and the request has no token or a wrong one. The header `WWW-Authenticate` names the scheme, and has `error="invalid_token"` if a token was sent.',
    remedy:
      'Send `Authorization: Bearer …` with a token of `tokensFile`; for management also with the value of `ONNXD_MANAGEMENT_TOKEN`.',
  },
  CrashingRequestException: {
    cause:
      'The body of this request has crashed two workers of the model. It is rejected for `crashQuarantine` seconds after the last crash, so that other requests keep their workers.',
    remedy:
      'Read the log: the line `worker died` names the signal. Correct the model, or do not send this input. The header `Retry-After` gives the remaining seconds of the rejection.',
  },
  ForbiddenException: {
    cause:
      'The token of the request may not use this model, or is not for this listener. Or the management listener has no token, and the request seems to come from a web page: it has a foreign `Origin`, `Sec-Fetch-Site` or `Referer` header, or a `Host` header that is neither an IP address, nor localhost, nor configured.',
    remedy:
      'Use another token, or add the model to the token in `tokensFile`. For the other cause: use a client that is not a web page, add the host name to `allowedHosts`, or set `ONNXD_MANAGEMENT_TOKEN` and send the token.',
  },
  HandlersNotAllowedException: {
    cause: 'The model has a custom handler, and the server was started without `--allow-handlers`.',
    remedy: 'If you trust the model, start the server with `--allow-handlers`.',
  },
  InvalidModelVersionException: {
    cause: 'The version is the default of a model that has other versions.',
    remedy: 'Make another version the default first: `PUT /models/{model}/{version}/set-default`.',
  },
  DownloadModelException: {
    cause:
      'The model could not be downloaded: the other server rejected the request, closed the connection, sent a redirect or a wrong number of bytes, or the SHA-256 hash does not match. With status 504: the download took longer than `downloadTimeout`, or no data arrived for a minute.',
    remedy:
      'Download the same URL by hand; the message contains the status of the other server. Redirects are not followed; register the final URL.',
  },
  ModelNotFoundException: {
    cause:
      'No model with this name is registered. In a registration: the file or folder does not exist or cannot be read.',
    remedy:
      '`GET /models` lists the names. The settings `--model-store` and `--allow-local-paths` define which files can be registered.',
  },
  ModelVersionNotFoundException: {
    cause: 'The model is registered, but not in this version.',
    remedy: 'Omit the version to use the default version.',
  },
  ResourceNotFoundException: {
    cause:
      'This listener does not have this path. Predictions and management have different ports.',
    remedy: 'Check the path and the port.',
  },
  MethodNotAllowedException: {
    cause: 'The path exists, but not with this method.',
    remedy: 'Use a method that the `Allow` header of the response lists.',
  },
  RequestTimeoutException: {
    cause:
      'The client took longer than `requestTimeout` to send its request, longer than `headersTimeout` to send the headers, or paused the body for `bodyTimeout`.',
    remedy:
      'Send faster, or increase `--request-timeout`, `--headers-timeout` or `--body-timeout`. For uploads of models `--download-timeout` applies if it is longer.',
  },
  ConflictStatusException: {
    cause: 'A model with this name and version is already registered or is being loaded.',
    remedy: 'Unregister it first, or register the model with another `model_name`.',
  },
  PayloadTooLargeException: {
    cause:
      'The body, a part of a form, an archive, an upload or a download exceeds its size limit. With status 400: the body arrived in more than 65 536 chunks.',
    remedy:
      'Send less, or increase `--max-body-bytes`, `--max-json-bytes` or, for models, `--max-model-bytes`. JSON has the smaller limit; the same tensor is much smaller as raw bytes.',
  },
  UnsupportedMediaTypeException: {
    cause:
      'The built-in handlers do not support this content type, image format or content encoding; the body of a management request is neither JSON nor a form; or the Content-Type header is not a media type.',
    remedy:
      'Send JSON, `application/octet-stream` or a form. Send images as JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP.',
  },
  TooManyRequestsException: {
    cause:
      'The token, or without tokens the client address, has sent more than `rateLimit` requests in `rateLimitWindow` seconds.',
    remedy:
      'Send fewer requests, or wait for the seconds in `Retry-After`. Behind a proxy, set `trustProxy`; otherwise all clients together count as one.',
  },
  ClientClosedRequestException: {
    cause:
      'The client closed the connection before the response. A waiting request is removed from the queue; a running request is finished and its response is discarded.',
    remedy: 'Nothing. This status occurs only in logs and metrics.',
  },
  InternalServerException: {
    cause:
      '`Worker died: …`: the worker process ended during the request; the message gives the reason. `Failed to start workers: …`: the model could not be loaded; the message gives the reason. `The server failed to handle the request.`: a defect of onnxd. Any other message with a status from 500 to 507 comes from the handler, which failed.',
    remedy:
      'Read the log of the server: it contains the last stderr lines of the worker. `GET /models/{model}` shows restarts and the last failure.',
  },
  ServiceUnavailableException: {
    cause:
      'No worker is available: no worker is running, the queue is full (`queueSize` requests or `queueBytes` bytes), the request waited longer than `queueTimeout` or its own deadline, the model has failed, or the server is stopping. For an upload or download: two others are already running.',
    remedy:
      'Try again after the seconds in `Retry-After`. If the error persists, add workers, or check `status` and `lastFailure` of the model.',
  },
  ResponseTimeoutException: {
    cause:
      'The worker took longer than `responseTimeout` for one batch, or longer than `loadTimeout` to start. The worker was killed and is replaced.',
    remedy: 'Send smaller requests, or increase `--response-timeout` or `--load-timeout`.',
  },
  InsufficientMemoryException: {
    cause:
      'The worker ran out of memory, the response is larger than `maxResponseBytes`, or the disk has not enough free space for an archive, upload or download.',
    remedy:
      'Send smaller requests; increase `--max-response-bytes`, `--worker-memory-mib` or `--worker-heap-mib`; use fewer workers; or add memory or disk space.',
  },
  StateNotSavedException: {
    cause:
      'A change (registration, unregistration, scaling or a new default version) could not be saved in the state folder, for example because its disk is full or read-only. The change has no effect, neither now nor after a restart.',
    remedy:
      'Free space on the disk of `--state-dir`, or make the folder writable, and send the request again.',
  },
}
