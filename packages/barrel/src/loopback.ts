/** Whether only this machine reaches itself by this name: what goes there in clear text nobody else hears. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1)$/.test(host);
}
