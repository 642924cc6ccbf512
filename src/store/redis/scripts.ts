/** Seconds that a content is kept without a name: what was to have it may have been refused, or have ended. */
const UNNAMED_SECONDS = 600;

/**
 * Keeps a content, unless it is there whole. Redis has no SHA-256 in scripts, so that bytes that were changed in its memory
 * are replaced by those of the next registration: what comes has just been hashed.
 * KEYS: the content, the names that have it. ARGV: its bytes.
 */
export const ADD_CONTENT = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1])
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('EXPIRE', KEYS[1], ${UNNAMED_SECONDS})
end
return 1
`;

/**
 * Puts an entry in the place of the one at a revision; 0, and nothing is done, where the revision is another one or the
 * content is not there. A content whose last name goes, goes too.
 * KEYS: the name's hash, the set of names. ARGV: prefix of keys, name, revision, etag or '', entry or ''.
 */
export const REPLACE = `
local prefix, name, revision, etag, entry = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if (redis.call('HGET', KEYS[1], 'revision') or '0') ~= revision then return 0 end
if etag ~= '' and redis.call('EXISTS', prefix .. 'content:' .. etag) == 0 then return 0 end
local before = redis.call('HGET', KEYS[1], 'etag') or ''
redis.call('HSET', KEYS[1], 'revision', tostring(tonumber(revision) + 1), 'etag', etag, 'entry', entry)
if etag ~= '' then
  redis.call('SADD', KEYS[2], name)
  redis.call('SADD', prefix .. 'users:' .. etag, name)
  redis.call('PERSIST', prefix .. 'content:' .. etag)
else
  redis.call('SREM', KEYS[2], name)
end
if before ~= '' and before ~= etag then
  redis.call('SREM', prefix .. 'users:' .. before, name)
  if redis.call('EXISTS', prefix .. 'users:' .. before) == 0 then
    redis.call('DEL', prefix .. 'content:' .. before)
  end
end
return 1
`;
