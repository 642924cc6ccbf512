/** Seconds that a content is kept without a name: what was to have it may have been refused, or have ended. */
const UNNAMED_SECONDS = 600;

/**
 * Writes a piece of a content that is on its way. KEYS: where it is put together. ARGV: where the piece begins, its bytes.
 */
export const WRITE_PIECE = `
redis.call('SETRANGE', KEYS[1], ARGV[1], ARGV[2])
return redis.call('EXPIRE', KEYS[1], ${UNNAMED_SECONDS})
`;

/**
 * Gives a content that was put together its key; 0, and nothing is done, where it has not the length that it should.
 * KEYS: where it was put together, the content, the names that have it. ARGV: its length.
 */
export const PLACE_CONTENT = `
if redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('PERSIST', KEYS[2]) end
return 1
`;

/**
 * Keeps a content for a while longer that is there, or for good where a name has it; 0 where it is not there.
 * KEYS: the content, the names that have it.
 */
export const KEEP_CONTENT = `
if redis.call('EXISTS', KEYS[2]) == 1 then return redis.call('EXISTS', KEYS[1]) end
return redis.call('EXPIRE', KEYS[1], ${UNNAMED_SECONDS})
`;

/**
 * Puts an entry in the place of the one at a revision; 0, and nothing is done, where the revision is another one or the
 * content is not there. A content whose last name goes, goes too. A key of another kind, or a revision that is no
 * number, is taken for none.
 *
 * What is freed is freed first: Redis refuses a script that writes for the first time where its memory is full, and lets go
 * on one that has begun. So a full server can be emptied, whichever version it has.
 * KEYS: the name's hash, the set of names. ARGV: prefix of keys, name, revision, etag or '', entry or ''.
 */
export const REPLACE = `
local prefix, name, revision, etag, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local kind = redis.call('TYPE', KEYS[1]).ok
local isHash = kind == 'hash'
local found = isHash and redis.call('HGET', KEYS[1], 'revision') or '0'
if (string.match(found, '^%d+$') or '0') ~= revision then return 0 end
if etag ~= '' and redis.call('EXISTS', prefix .. 'content:' .. etag) == 0 then return 0 end
local before = isHash and redis.call('HGET', KEYS[1], 'etag') or ''
if before ~= '' and before ~= etag then
  redis.call('SREM', prefix .. 'users:' .. before, name)
  if redis.call('EXISTS', prefix .. 'users:' .. before) == 0 then
    redis.call('DEL', prefix .. 'content:' .. before)
  end
end
if etag == '' then redis.call('SREM', KEYS[2], name) end
if not isHash and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'revision', tostring(tonumber(revision) + 1), 'etag', etag, 'entry', entry)
if etag ~= '' then
  redis.call('SADD', KEYS[2], name)
  redis.call('SADD', prefix .. 'users:' .. etag, name)
  redis.call('PERSIST', prefix .. 'content:' .. etag)
end
return 1
`;
