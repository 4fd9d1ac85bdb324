-- What has to happen on the server in one step.  KEYS[1] is the name of the store, in braces, so that
-- all of its keys are in one slot of a cluster; ARGV[1] says what to do.
--
-- NAME:i:ID     the instance, a field for each fact that it has
-- NAME:p:ID     its parts, by name
-- NAME:m:ID     the payloads of its messages, by number;  NAME:n:ID  their names
-- NAME:all      the ids of all instances, in the order of their creation
-- NAME:due      the ids of those that nobody owns and that can go on, by when
-- NAME:owners   the owners, by when their lease runs out;  NAME:o:OWNER  what one owns
-- NAME:format   the version of all this
-- NAME:count    the last number that was given
-- NAME:changed  a channel: the ids of instances about which something has changed

local store = KEYS[1]
local place = 1

local function take()
    place = place + 1
    return ARGV[place]
end

local function take_number()
    return tonumber(take())
end

-- The places of as many arguments as the next one says.
local function take_places()
    local first = place + 2
    place = place + 1 + ARGV[place + 1]
    return first, place
end

local function take_many()
    local taken, first, last = {}, take_places()
    for index = first, last do
        taken[#taken + 1] = ARGV[index]
    end
    return taken
end

local function key(kind, name)
    return store .. ':' .. kind .. ':' .. name
end

local function now()
    local time = redis.call('TIME')
    return string.format('%d.%06d', time[1], time[2])
end

local function next_number()
    return redis.call('INCR', store .. ':count')
end

local function is_final(status)
    return status == 'SUCCESS' or status == 'CANCELLED'
end

local function is_alive(owner)
    local expires_at = redis.call('ZSCORE', store .. ':owners', owner)
    return expires_at and tonumber(expires_at) > tonumber(now())
end

-- HSET or HDEL, a part of the values at a time: Lua has a stack of 8,000.
local function change(command, name, values, first, last)
    for start = first, last, 2000 do
        redis.call(command, name, unpack(values, start, math.min(start + 1999, last)))
    end
end

local function drop_fields(name, fields)
    change('HDEL', name, fields, 1, #fields)
end

local function tell(id)
    redis.call('PUBLISH', store .. ':changed', id)
end

-- When an instance that nobody owns can go on.
local function due_of(id)
    local facts = redis.call('HMGET', key('i', id), 'status', 'awaited', 'wake_at', 'updated_at')
    local status = facts[1]
    if status == 'RUNNING' or (status == 'ENQUEUED' and not facts[3]) then
        return facts[4]
    end
    if status == 'WAITING' or status == 'SLEEPING' then
        local awaited = {}
        if facts[2] then
            for _, name in ipairs(cjson.decode(facts[2])) do
                awaited[name] = true
            end
        end
        for _, name in ipairs(redis.call('HVALS', key('n', id))) do
            if awaited[name] or string.sub(name, 1, 1) == '.' then
                return facts[4]
            end
        end
    end
    if status == 'WAITING' or status == 'SLEEPING' then
        return facts[3]
    end
    return false
end

local function note_due(id)
    local due = due_of(id)
    if due then
        redis.call('ZADD', store .. ':due', due, id)
    else
        redis.call('ZREM', store .. ':due', id)
    end
end

local function put_message(id, name, payload)
    local number = next_number()
    redis.call('HSET', key('m', id), number, payload)
    redis.call('HSET', key('n', id), number, name)
    local facts = redis.call('HMGET', key('i', id), 'owner', 'status')
    if not facts[1] and (facts[2] == 'WAITING' or facts[2] == 'SLEEPING') then
        note_due(id)
    end
    if facts[2] and is_final(facts[2]) then
        local left = redis.call('PTTL', key('i', id))
        if left > 0 then -- nobody will take it, so it goes with the instance
            redis.call('PEXPIRE', key('m', id), left)
            redis.call('PEXPIRE', key('n', id), left)
        end
    end
    tell(id)
    return number
end

local function begins_with_one_of(name, prefixes)
    for _, prefix in ipairs(prefixes) do
        if string.sub(name, 1, #prefix) == prefix then
            return true
        end
    end
    return false
end

-- Whether somebody outside may wait for one of these parts, names and values in turn.
local function are_news(first, last, transient)
    for index = first, last, 2 do
        if not begins_with_one_of(ARGV[index], transient) then
            return true
        end
    end
    return false
end

-- The transitions of many instances; for each, whether its epoch was the current one.
local function commit()
    local is_repeated = take() == '1'
    local keep = take_number() -- seconds for which instances that have ended are kept; 0 for ever
    local transient = take_many()
    local answers = {}
    for index = 1, take_number() do
        local id, epoch, sequence, final = take(), take(), take(), take() == '1'
        local fields, fields_end = take_places()
        local gone, gone_end = take_places()
        local consumed, consumed_end = take_places()
        local parts, parts_end = take_places()
        local parts_gone, parts_gone_end = take_places()
        local letters = take_number()
        local instance = key('i', id)
        local facts = redis.call('HMGET', instance, 'epoch', 'sequence')
        local is_done = is_repeated and facts[1] == epoch and tonumber(facts[2]) >= tonumber(sequence)
        answers[index] = facts[1] == epoch and 1 or 0
        if answers[index] == 1 and not is_done then
            change('HSET', instance, ARGV, fields, fields_end)
            change('HDEL', instance, ARGV, gone, gone_end)
            change('HDEL', key('m', id), ARGV, consumed, consumed_end)
            change('HDEL', key('n', id), ARGV, consumed, consumed_end)
            change('HSET', key('p', id), ARGV, parts, parts_end)
            change('HDEL', key('p', id), ARGV, parts_gone, parts_gone_end)
            for _ = 1, letters do
                put_message(take(), take(), take())
            end
            if final then
                local ended = {}
                for _, name in ipairs(redis.call('HKEYS', key('p', id))) do
                    if begins_with_one_of(name, transient) then
                        ended[#ended + 1] = name
                    end
                end
                drop_fields(key('p', id), ended)
                if keep > 0 then
                    for _, kind in ipairs({'i', 'p', 'm', 'n'}) do
                        redis.call('EXPIRE', key(kind, id), keep)
                    end
                end
            end
            if final or are_news(parts, parts_end, transient) then
                tell(id)
            end
        else
            place = place + 3 * letters
        end
    end
    return answers
end

-- Most of what is asked; defining the rest would take as long as doing it.
if ARGV[1] == 'commit' then
    return commit()
end

local function create(id, first, last, owner)
    change('HSET', key('i', id), ARGV, first, last)
    redis.call('ZADD', store .. ':all', next_number(), id)
    if owner then
        redis.call('HINCRBY', key('i', id), 'epoch', 1)
    else
        note_due(id)
    end
end

-- An owner whose lease has run out may have been forgotten; what it takes now will be claimed.
local function own(id, owner)
    redis.call('HSET', key('i', id), 'owner', owner)
    redis.call('SADD', key('o', owner), id)
    redis.call('ZADD', store .. ':owners', 'NX', 0, owner)
    redis.call('ZREM', store .. ':due', id)
end

local function disown(id, owner)
    redis.call('HDEL', key('i', id), 'owner')
    redis.call('SREM', key('o', owner), id)
    note_due(id)
end

local function bury(owner)
    for _, id in ipairs(redis.call('SMEMBERS', key('o', owner))) do
        if redis.call('HGET', key('i', id), 'owner') == owner then
            redis.call('HINCRBY', key('i', id), 'epoch', 1)
            redis.call('HINCRBY', key('i', id), 'recoveries', 1)
            disown(id, owner)
            tell(id)
        end
    end
    redis.call('DEL', key('o', owner))
    redis.call('ZREM', store .. ':owners', owner)
end

local commands = {}

function commands.sign_in()
    local owner, seconds = take(), take_number()
    redis.call('ZADD', store .. ':owners', 'NX', string.format('%.6f', now() + seconds), owner)
    return 1
end

function commands.renew()
    local owner, seconds = take(), take_number()
    if not is_alive(owner) then
        return 0
    end
    redis.call('ZADD', store .. ':owners', string.format('%.6f', now() + seconds), owner)
    return 1
end

function commands.sign_out()
    bury(take())
    return 1
end

-- What an owner has without knowing it, because an answer was lost.
function commands.disown_others()
    local owner, known = take(), {}
    for _, id in ipairs(take_many()) do
        known[id] = true
    end
    for _, id in ipairs(redis.call('SMEMBERS', key('o', owner))) do
        if not known[id] then
            redis.call('HINCRBY', key('i', id), 'epoch', 1)
            disown(id, owner)
        end
    end
    return 1
end

function commands.acquire()
    local owner, id = take(), take()
    local first, last_of_fields = take_places()
    local facts = redis.call('HMGET', key('i', id), 'status', 'owner')
    local status, last = facts[1], facts[2]
    local created = 0
    if not status then
        create(id, first, last_of_fields, owner)
        created = 1
    elseif is_final(status) then
        return {0, redis.call('HGETALL', key('i', id))}
    elseif last and is_alive(last) then
        return {-1}
    else
        redis.call('HINCRBY', key('i', id), 'epoch', 1)
        if last then
            redis.call('HINCRBY', key('i', id), 'recoveries', 1)
            redis.call('SREM', key('o', last), id)
        end
    end
    own(id, owner)
    return {created, redis.call('HGETALL', key('i', id))}
end

function commands.enqueue()
    local id = take()
    local first, last = take_places()
    if redis.call('EXISTS', key('i', id)) == 1 then
        return 0
    end
    create(id, first, last, nil)
    tell(id)
    return 1
end

function commands.claim()
    local owner, limit = take(), take_number()
    local programs = {}
    for _, program in ipairs(take_many()) do
        programs[program] = true
    end
    local others = {}
    for _, id in ipairs(take_many()) do
        others[id] = true
    end
    local time = now()
    for _, dead in ipairs(redis.call('ZRANGEBYSCORE', store .. ':owners', '-inf', time)) do
        bury(dead)
    end
    local claimed, seen = {}, 0
    while #claimed < limit do
        local ids = redis.call('ZRANGEBYSCORE', store .. ':due', '-inf', time, 'LIMIT', seen, limit)
        if #ids == 0 then
            break
        end
        for _, id in ipairs(ids) do
            if #claimed < limit and not others[id] and programs[redis.call('HGET', key('i', id), 'program')] then
                redis.call('HINCRBY', key('i', id), 'epoch', 1)
                own(id, owner)
                claimed[#claimed + 1] = redis.call('HGETALL', key('i', id))
            else
                seen = seen + 1
            end
        end
    end
    local later = redis.call('ZRANGEBYSCORE', store .. ':due', '(' .. time, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    return {claimed, later[2] or ''}
end

function commands.release()
    local id, epoch = take(), take()
    local facts = redis.call('HMGET', key('i', id), 'epoch', 'owner')
    if facts[1] == epoch and facts[2] then
        redis.call('HSET', key('i', id), 'recoveries', 0)
        disown(id, facts[2])
    end
    tell(id)
    return 1
end

function commands.put_aside()
    local id = take()
    redis.call('HSET', key('i', id), 'status', 'PARKED')
    disown(id, redis.call('HGET', key('i', id), 'owner'))
    return 1
end

-- Gives how many there were.
function commands.drop_parts()
    local id, prefix = take(), take()
    local gone = {}
    for _, name in ipairs(redis.call('HKEYS', key('p', id))) do
        if begins_with_one_of(name, {prefix}) then
            gone[#gone + 1] = name
        end
    end
    drop_fields(key('p', id), gone)
    return #gone
end

function commands.mail()
    local id = take()
    return {redis.call('HGETALL', key('n', id)), redis.call('HGETALL', key('m', id))}
end

function commands.publish()
    return put_message(take(), take(), take())
end

function commands.offer()
    local id, name, payload = take(), take(), take()
    for _, there in ipairs(redis.call('HVALS', key('n', id))) do
        if there == name then
            return 0
        end
    end
    put_message(id, name, payload)
    return 1
end

function commands.delete()
    local id = take()
    local facts = redis.call('HMGET', key('i', id), 'status', 'owner')
    if facts[2] and is_alive(facts[2]) then
        return -1
    end
    if facts[2] then
        redis.call('SREM', key('o', facts[2]), id)
    end
    for _, kind in ipairs({'i', 'p', 'm', 'n', 's'}) do
        redis.call('DEL', key(kind, id))
    end
    redis.call('ZREM', store .. ':all', id)
    redis.call('ZREM', store .. ':due', id)
    return facts[1] and 1 or 0
end

return commands[ARGV[1]]()
