import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../src/store/memory.ts';
import { holdToContract } from './contract.ts';
import { contentOf, storedLayer } from './support.ts';

describe('the memory store', () => {
  holdToContract(async () => new MemoryStore());

  it('forgets a content with the last name that has it', async () => {
    const store = new MemoryStore();
    const content = contentOf('only');
    await store.writeContent(content.etag, [content.bytes]);
    await store.replace('a', 0, storedLayer('a', content));
    await store.replace('a', 1, null);
    expect(await store.readContent(content.etag)).toBeNull();
    expect(await store.replace('a', 2, storedLayer('a', content))).toBe(false);
  });
});
