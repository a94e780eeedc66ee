const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/

/** Whether a listener on this host name or IP address is reachable only from this machine. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host)
}
