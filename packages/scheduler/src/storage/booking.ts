import { isJsonObject, type JsonObject } from '@eru/kit';
import { addAmounts, largerAmounts, type Amounts } from '../amounts.ts';
import { readInteger, readObject, readTexts } from '../lenient.ts';
import { engineForm, formatBinding, identityOf, parseBinding, type Binding } from './binding.ts';
import { addDisks, largerDisks, readDisks, storedDisks, type Disk } from './disk.ts';
import { formatIo, hasIo } from './io.ts';
import { nothing, type Holdings } from './node.ts';
import { limitsOf, requestsOf, type StorageRequest } from './request.ts';

/** Full text of a binding -> the volume it is put on, and the bytes that it has there. */
export type VolumePlan = Readonly<Record<string, Amounts>>;

/** What a workload holds on its node. */
export interface Booking extends StorageRequest {
  readonly planRequest: VolumePlan;
  readonly planLimit: VolumePlan;
  readonly disksRequest: readonly Disk[];
  readonly disksLimit: readonly Disk[];
}

export function readBooking(stored: JsonObject): Booking {
  const limits = readTexts(stored, 'volumes_limit').map(parseStored);
  const requests = readTexts(stored, 'volumes_request').map(parseStored);
  return {
    volumes: requests.map((request, index) => ({ request, limit: limits[index] ?? request })),
    storageRequest: readInteger(stored, 'storage_request'),
    storageLimit: readInteger(stored, 'storage_limit'),
    planRequest: readPlan(stored, 'volume_plan_request'),
    planLimit: readPlan(stored, 'volume_plan_limit'),
    disksRequest: readDisks(stored, 'disks_request'),
    disksLimit: readDisks(stored, 'disks_limit'),
  };
}

export function formatBooking(booking: Booking): JsonObject {
  return {
    volumes_request: requestsOf(booking).map(formatBinding),
    volumes_limit: limitsOf(booking).map(formatBinding),
    volume_plan_request: storedPlan(booking.planRequest),
    volume_plan_limit: storedPlan(booking.planLimit),
    storage_request: booking.storageRequest,
    storage_limit: booking.storageLimit,
    disks_request: storedDisks(booking.disksRequest),
    disks_limit: storedDisks(booking.disksLimit),
  };
}

/**
 * What the engine is told: the limits with their volumes as sources, at least as large as planned, and the IO limit of each
 * device. `before`, at a realloc, is what the workload has now.
 */
export function engineParams(booking: Booking, before: Booking = booking): JsonObject {
  const rates = booking.disksLimit.filter(({ io }) => hasIo(io)).map(({ device, io }) => [device, formatIo(io)]);
  return {
    volumes: resolved(booking).map(engineForm),
    storage: booking.storageLimit,
    iops_options: Object.fromEntries(rates) as JsonObject,
    volume_changed: mountsOf(booking) !== mountsOf(before),
  };
}

/** Amount by amount the larger one, so that neither the old nor the new can be given to another while a workload changes. */
export function largerBooking(a: JsonObject, b: JsonObject): JsonObject {
  const [left, right] = [readBooking(a), readBooking(b)];
  const volumes = largerAmounts(bytesByVolume(left.planRequest), bytesByVolume(right.planRequest));
  return formatBooking({
    ...right,
    storageRequest: Math.max(left.storageRequest, right.storageRequest),
    storageLimit: Math.max(left.storageLimit, right.storageLimit),
    // One volume may serve several bindings, which differ before and after: only its sum can be compared.
    planRequest: Object.keys(volumes).length > 0 ? { [bothBindings]: volumes } : {},
    disksRequest: largerDisks(left.disksRequest, right.disksRequest),
  });
}

const bothBindings = 'before:and-after:rw:0:0:0:0:0';

/** Usage after these bookings came or went. */
export function addBookings(used: Holdings, bookings: readonly JsonObject[], sign: 1 | -1): Holdings {
  return bookings.map(usedBy).reduce(
    (sum, { storage, volumes, disks }) => ({
      storage: sum.storage + sign * storage,
      volumes: addAmounts(sum.volumes, volumes, sign),
      disks: disks.length > 0 ? addDisks(sum.disks, disks, sign) : sum.disks,
    }),
    used,
  );
}

/** The part of a booking that counts as usage; its bindings need not be read for it. */
function usedBy(stored: JsonObject): Holdings {
  return {
    storage: readInteger(stored, 'storage_request'),
    volumes: bytesByVolume(readPlan(stored, 'volume_plan_request')),
    disks: readDisks(stored, 'disks_request'),
  };
}

export function sumOf(bookings: readonly JsonObject[]): Holdings {
  return addBookings(nothing, bookings, 1);
}

/** A volume that is put somewhere. */
export interface Placed {
  readonly path: string;
  readonly bytes: number;
}

/** By target, which no two volumes of a workload share. */
export function placedByTarget({ planRequest }: Pick<Booking, 'planRequest'>): Map<string, Placed> {
  const placed = new Map<string, Placed>();
  for (const [text, volume] of Object.entries(planRequest)) {
    for (const [path, bytes] of Object.entries(volume)) placed.set(parseStored(text).target, { path, bytes });
  }
  return placed;
}

function resolved(booking: Booking): Binding[] {
  const placed = placedByTarget(booking);
  return limitsOf(booking).map((limit) => {
    const { path = limit.source, bytes = 0 } = placed.get(limit.target) ?? {};
    return { ...limit, source: path, size: Math.max(limit.size, bytes) };
  });
}

/** What is mounted where and how, as one text. */
function mountsOf(booking: Booking): string {
  return resolved(booking).map(identityOf).sort().join('\n');
}

function bytesByVolume(plan: VolumePlan): Amounts {
  return Object.values(plan).reduce((sum, volume) => addAmounts(sum, volume), {});
}

function readPlan(stored: JsonObject, key: string): VolumePlan {
  const plan: Record<string, Amounts> = {};
  for (const [text, volume] of Object.entries(readObject(stored, key))) {
    if (!isJsonObject(volume)) continue;
    plan[text] = Object.fromEntries(
      Object.entries(volume).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
    );
  }
  return plan;
}

function storedPlan(plan: VolumePlan): JsonObject {
  return Object.fromEntries(Object.entries(plan).map(([text, volume]) => [text, { ...volume }]));
}

function parseStored(text: string): Binding {
  return parseBinding(text, 'storage volumes');
}
