/** `WORKLOAD:/PATH`; undefined for anything else, such as a path of this machine. */
export function splitWord(text: string): { word: string; path: string } | undefined {
  const match = /^([^/:]+):(\/.*)$/s.exec(text);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { word: match[1], path: match[2] };
}
