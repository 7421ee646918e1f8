/** Text of one SVG element. Numbers are cut to a tenth of a pixel, so that pictures are small and the same everywhere. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const written = Object.entries(attributes)
    .map(
      ([key, value]) => ` ${key}="${typeof value === 'number' ? String(Math.round(value * 10) / 10) : escape(value)}"`,
    )
    .join('');
  return children.length === 0 ? `<${name}${written}/>` : `<${name}${written}>${children.join('')}</${name}>`;
}

type Attributes = Readonly<Record<string, string | number>>;

export function text(x: number, y: number, content: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escape(content));
}

export function box(x: number, y: number, width: number, height: number, attributes: Attributes): string {
  return element('rect', { x, y, width, height, ...attributes });
}

/** A whole picture on a white sheet, so that it can be read on dark pages too. `title` is what a screen reader says. */
export function picture(width: number, height: number, title: string, content: readonly string[]): string {
  return `${element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: 'img',
      'font-family': 'ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif',
      'font-size': 11,
      fill: ink,
    },
    `\n${[element('title', {}, escape(title)), box(0.5, 0.5, width - 1, height - 1, { rx: 8, fill: '#fff', stroke: '#d0d7de' }), ...content].join('\n')}\n`,
  )}\n`;
}

export const ink = '#1f2328';
export const faint = '#6e7781';

/** Colours that differ for most eyes, by place. */
const colours = ['#7fb2e5', '#f2b56b', '#8fcf9f', '#d79bd3', '#e58f86', '#b6b3e8', '#c9c36a'];

export function colour(index: number): string {
  return colours[index % colours.length] as string;
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
