import { box, colour, element, faint, ink, picture, text } from './svg.ts';

/** How often each core can be given whole: three of these are oversold. */
const wholes = [3, 1, 2, 1, 4];
const perPlan = 3;

/**
 * "Counted, not enumerated": with t plans, one core can serve no more than t of them, so t plans fit as long as what lies
 * below the level t is enough for them.
 */
export function levelPicture(): string {
  const [unit, left, bottom] = [26, 40, 158];
  const fits = (level: number): boolean =>
    wholes.reduce((sum, whole) => sum + Math.min(whole, level), 0) >= perPlan * level;
  let most = 0;
  while (fits(most + 1)) most += 1;
  const panel = (level: number, from: number): string[] => {
    const below = wholes.reduce((sum, whole) => sum + Math.min(whole, level), 0);
    const y = bottom - level * unit;
    return [
      ...wholes.flatMap((whole, core) => [
        ...Array.from({ length: whole }, (_, index) =>
          box(from + core * 44, bottom - (index + 1) * unit + 1, 36, unit - 2, {
            rx: 2,
            fill: index < level ? colour(0) : '#eaeef2',
            stroke: '#fff',
          }),
        ),
        text(from + core * 44 + 18, bottom + 14, `core ${core}`, {
          'text-anchor': 'middle',
          fill: faint,
          'font-size': 10,
        }),
      ]),
      element('line', { x1: from - 8, x2: from + 220, y1: y, y2: y, stroke: ink, 'stroke-dasharray': '4 3' }),
      text(from - 8, 24, `${level} plans of ${perPlan} whole cores?`, { 'font-size': 12, 'font-weight': 'bold' }),
      text(
        from - 8,
        40,
        `below the line: ${below}, needed: ${perPlan * level}: ${below >= perPlan * level ? 'yes' : 'no'}`,
      ),
    ];
  };
  return picture(560, 186, `How many plans fit is found by a level, not by building them: ${most}`, [
    ...panel(most, left),
    ...panel(most + 1, left + 270),
  ]);
}
