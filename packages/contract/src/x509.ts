// One module of its own, so that the bundler keeps the order (the library wants the polyfill first) and the names, and so
// that both are loaded together when a certificate is made.
import 'reflect-metadata';

export * as x509 from '@peculiar/x509';
