import { day } from './day.ts';
import { levelPicture } from './level.ts';
import { strategiesPicture } from './strategies.ts';

/** File name below `docs/planner/` -> what is in it. The planner decides what they show; nothing is drawn by hand. */
export function pictures(): Map<string, string> {
  const scenes = day().map(({ at, svg }) => [`day-${at.replace(':', '')}.svg`, svg] as const);
  return new Map([...scenes, ['counted.svg', levelPicture()], ['strategies.svg', strategiesPicture()]]);
}
