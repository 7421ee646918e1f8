/** Release of this tree; the one in package.json. */
export const version = '0.1.0';
