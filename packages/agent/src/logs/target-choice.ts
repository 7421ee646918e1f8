/** 32-bit FNV-1a of a text's UTF-8 bytes. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Which of `count` targets is a workload's own (reference/agent.md section 12.2). */
export function targetOf(id: string, count: number): number {
  return fnv1a(id) % count;
}
