/** FNV-1a over UTF-16 units, as a signed integer of 32 bits; goes on from `hash` where the text is the rest of a longer one. */
export function hashOf(text: string, hash = -2_128_831_035): number {
  let mixed = hash;
  for (let index = 0; index < text.length; index += 1) mixed = Math.imul(mixed ^ text.charCodeAt(index), 16_777_619);
  return mixed;
}
