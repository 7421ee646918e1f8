import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { pictures } from './pages.ts';

// Draws the pictures of docs/planner.md anew: `npm run pictures`.

const folder = path.join(import.meta.dirname, '../../../docs/planner');
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
for (const [file, svg] of pictures()) await writeFile(path.join(folder, file), svg);
