/** A shell's code for a command that could not begin, by the runtime's reason: 127 not found, 126 not allowed to run. */
export function unbegunCode(reason: string): number {
  return /permission denied|is a directory|exec format error/.test(reason) ? 126 : 127;
}
