const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/

/** Whether a listener at this host name or address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host)
}
