import { isJsonObject } from '@eru/kit';

/** What Docker keeps of a network and a definition of ours has no field for. Who has it was made through Docker's API. */
export interface DockerNotes {
  /** RFC 3339. */
  readonly created: string;
  /** Addresses that are never given out, by the name that their maker gave them. */
  readonly auxiliary: Readonly<Record<string, string>>;
}

/** The label that they are in; clients do not see it. */
export const notesLabel = 'eru.network/docker';

export function writeNotes(notes: DockerNotes): Record<string, string> {
  return { [notesLabel]: JSON.stringify(notes) };
}

/** Undefined for a network that was made otherwise. */
export function readNotes(labels: Readonly<Record<string, string>>): DockerNotes | undefined {
  const text = labels[notesLabel];
  if (text === undefined) return undefined;
  const value: unknown = JSON.parse(text);
  return isJsonObject(value) ? (value as unknown as DockerNotes) : undefined;
}

export function withoutNotes({
  [notesLabel]: _notes,
  ...rest
}: Readonly<Record<string, string>>): Record<string, string> {
  return rest;
}
