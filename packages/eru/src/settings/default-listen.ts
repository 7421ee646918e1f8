/** Where core listens when nobody says: this machine only. */
export const defaultListen = '127.0.0.1:5001';

/** Where the daemon of a machine that joins a cluster listens. */
export const defaultNodeListen = ':5002';
