import { writeEndpoint } from '@eru/client';
import { writeFileAtomic } from '@eru/kit';

import type { Credential, DataFolder } from './data-folder.ts';

/** Commands of this machine find core in its data folder, and users find there what other machines have to trust. */
export async function tellOwnMachine(
  data: DataFolder,
  { address, ca }: { address: string; ca: string | undefined },
  credential: Credential | undefined,
): Promise<void> {
  const { username = '', password = '' } = credential ?? {};
  if (ca !== undefined) await writeFileAtomic(data.ca, ca);
  await writeEndpoint(data.root, { address, username, password, ...(ca !== undefined && { ca }) });
}
