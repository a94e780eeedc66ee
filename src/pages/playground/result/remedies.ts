/** What a user can do about an error, by its type (docs/errors.md). */

const REMEDIES: Readonly<Record<string, string>> = {
  InvalidInputException: 'Compare the values with the inputs of the model.',
  UnauthorizedException: 'Enter a token with the button "Token".',
  ForbiddenException: 'Use a token that may call this model.',
  ModelNotFoundException: 'Choose another model. This one may have been unregistered.',
  ModelVersionNotFoundException: 'Choose another version.',
  PayloadTooLargeException:
    'Send less. The same tensor is much smaller as a .npy file than as JSON.',
  UnsupportedMediaTypeException:
    'Send an image as JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP; send other files in a format that the model accepts.',
  CrashingRequestException: 'This request has crashed the model twice. Send another one.',
  InternalServerException: 'Read the log of the server.',
  ServiceUnavailableException:
    'Try again. If this continues, look at the model in the console, or add workers.',
  ResponseTimeoutException: 'Send a smaller request, or increase the response timeout.',
  InsufficientMemoryException: 'Send a smaller request.',
}

const BY_STATUS: Readonly<Record<number, string>> = {
  0: 'Check that the server is running, and reload the page.',
  401: REMEDIES['UnauthorizedException'] ?? '',
  429: 'Wait a moment and try again.',
}

/** A sentence; `undefined` if the message of the error says enough. */
export function remedyOf(status: number, type: string): string | undefined {
  return (Object.hasOwn(REMEDIES, type) ? REMEDIES[type] : undefined) ?? BY_STATUS[status]
}
