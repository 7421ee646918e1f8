/** Where core listens when nobody says: this machine only. */
export const defaultListen = '127.0.0.1:5001';
