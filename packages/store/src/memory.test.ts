import { storeConformance } from './conformance.suite.ts';
import { openMemoryStore } from './embedded.ts';

storeConformance('memory store', { open: () => openMemoryStore(), leaseMs: 300 });
