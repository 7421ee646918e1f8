/** The same object `count` times: a million of them in some milliseconds. */
export function repeated<T>(item: T, count: number): T[] {
  const list: T[] = [];
  for (let times = 0; times < count; times += 1) list.push(item);
  return list;
}
