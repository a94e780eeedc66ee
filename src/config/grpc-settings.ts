/** Settings of the gRPC listener. */
import { count, text } from './fields.ts'

export const grpcSettings = {
  grpcPort: count(
    'Port of the gRPC listener: 8001 for clients of Triton, 9000 for KServe. 0 picks a free port; -1 starts no such listener.',
    -1,
    -1,
    65_535,
  ),
  grpcHost: text(
    'IP address or host name that the gRPC listener binds to; empty: the value of `host`.',
    '',
  ),
}
