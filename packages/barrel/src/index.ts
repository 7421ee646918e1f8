export { openBarrel, type BarrelOptions } from './barrel.ts';
