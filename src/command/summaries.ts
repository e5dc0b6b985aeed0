/**
 * What each command is for, in a line: COMMAND DOCS tells it to redis-cli and to others that help their users type.
 */

const text = `
append Adds text to the end of a string, which may begin empty
decr Subtracts one from the integer in a string
decrby Subtracts a number from the integer in a string
get Answers a string
getdel Answers a string and removes its key
getex Answers a string and sets, changes or takes away its expiry
getrange Answers a part of a string
getset Sets a string and answers what was there
incr Adds one to the integer in a string
incrby Adds a number to the integer in a string
incrbyfloat Adds a fraction to the number in a string
lcs Finds the longest common subsequence of two strings
mget Answers several strings at once
mset Sets several strings at once
msetnx Sets several strings, or none if one of the keys is there
psetex Sets a string that expires after milliseconds
set Sets a string, with conditions and an expiry if wanted
setex Sets a string that expires after seconds
setnx Sets a string if its key is not there
setrange Overwrites a part of a string
strlen Answers the length of a string
substr Answers a part of a string, under an older name
bitcount Counts the bits that are set in a string
bitfield Reads and changes integers of any width inside a string
bitfield_ro Reads integers of any width inside a string
bitop Combines strings bit by bit and keeps the result
bitpos Finds the first bit that is set, or not set
getbit Answers one bit of a string
setbit Sets one bit of a string
pfadd Adds elements to a HyperLogLog
pfcount Estimates how many different elements HyperLogLogs have seen
pfdebug Shows the inside of a HyperLogLog
pfmerge Unites HyperLogLogs
pfselftest Tests the code of HyperLogLogs
blmove Moves an element between two lists, and waits for one if need be
blmpop Takes elements from the first list that has any, and waits if none has
blpop Takes the first element of the first list that has any, and waits if none has
brpop Takes the last element of the first list that has any, and waits if none has
brpoplpush Moves the last element of a list to the front of another, and waits for one if need be
lindex Answers the element at a place of a list
linsert Puts an element before or behind another one
llen Answers how many elements a list has
lmove Moves an element from an end of a list to an end of another
lmpop Takes elements from the first list that has any
lpop Takes elements from the front of a list
lpos Finds the places of an element in a list
lpush Puts elements at the front of a list
lpushx Puts elements at the front of a list that is there
lrange Answers a part of a list
lrem Removes an element from a list, as often as wanted
lset Replaces the element at a place of a list
ltrim Keeps a part of a list and removes the rest
rpop Takes elements from the end of a list
rpoplpush Moves the last element of a list to the front of another
rpush Puts elements at the end of a list
rpushx Puts elements at the end of a list that is there
hdel Removes fields of a hash
hexists Tells whether a hash has a field
hget Answers the value of a field
hgetall Answers all fields of a hash and their values
hincrby Adds a number to the integer in a field
hincrbyfloat Adds a fraction to the number in a field
hkeys Answers all fields of a hash
hlen Answers how many fields a hash has
hmget Answers the values of several fields
hmset Sets several fields, under an older name
hrandfield Answers fields of a hash by chance
hscan Walks through the fields of a hash, step by step
hset Sets fields of a hash
hsetnx Sets a field if the hash does not have it
hstrlen Answers the length of a field's value
hvals Answers all values of a hash
sadd Adds members to a set
scard Answers how many members a set has
sdiff Answers the members of a set that others do not have
sdiffstore Keeps the members of a set that others do not have
sinter Answers the members that several sets share
sintercard Counts the members that several sets share
sinterstore Keeps the members that several sets share
sismember Tells whether a set has a member
smembers Answers all members of a set
smismember Tells of several members whether a set has them
smove Moves a member to another set
spop Takes members from a set by chance
srandmember Answers members of a set by chance
srem Removes members from a set
sscan Walks through the members of a set, step by step
sunion Answers the members of several sets together
sunionstore Keeps the members of several sets together
bzmpop Takes members by score from the first sorted set that has any, and waits if none has
bzpopmax Takes the member with the highest score, and waits for one if need be
bzpopmin Takes the member with the lowest score, and waits for one if need be
zadd Adds members with their scores, or changes their scores
zcard Answers how many members a sorted set has
zcount Counts the members within a range of scores
zdiff Answers the members of a sorted set that others do not have
zdiffstore Keeps the members of a sorted set that others do not have
zincrby Adds to the score of a member
zinter Answers the members that several sorted sets share
zintercard Counts the members that several sorted sets share
zinterstore Keeps the members that several sorted sets share
zlexcount Counts the members within a range of names
zmpop Takes members by score from the first sorted set that has any
zmscore Answers the scores of several members
zpopmax Takes the members with the highest scores
zpopmin Takes the members with the lowest scores
zrandmember Answers members of a sorted set by chance
zrange Answers a range of members by rank, score or name
zrangebylex Answers the members within a range of names
zrangebyscore Answers the members within a range of scores
zrangestore Keeps a range of members in another sorted set
zrank Answers the place of a member, lowest score first
zrem Removes members from a sorted set
zremrangebylex Removes the members within a range of names
zremrangebyrank Removes the members within a range of ranks
zremrangebyscore Removes the members within a range of scores
zrevrange Answers a range of members by rank, highest score first
zrevrangebylex Answers the members within a range of names, last name first
zrevrangebyscore Answers the members within a range of scores, highest score first
zrevrank Answers the place of a member, highest score first
zscan Walks through the members of a sorted set, step by step
zscore Answers the score of a member
zunion Answers the members of several sorted sets together
zunionstore Keeps the members of several sorted sets together
geoadd Adds places with their longitude and latitude
geodist Answers how far two places are apart
geohash Answers places as geohash texts
geopos Answers the longitude and latitude of places
georadius Finds places around a point, and may keep them
georadius_ro Finds places around a point
georadiusbymember Finds places around a place, and may keep them
georadiusbymember_ro Finds places around a place
geosearch Finds places within a circle or a box
geosearchstore Keeps the places within a circle or a box
xack Says that a group has dealt with entries
xadd Appends an entry to a stream
xautoclaim Hands entries that nobody has dealt with for long to another consumer
xclaim Hands entries to another consumer
xdel Removes entries from a stream
xgroup Groups of consumers
xgroup|create Adds a group to a stream
xgroup|createconsumer Adds a consumer to a group
xgroup|delconsumer Removes a consumer from a group
xgroup|destroy Removes a group
xgroup|help Lists the subcommands
xgroup|setid Says from where on a group reads
xinfo About streams
xinfo|consumers Lists the consumers of a group
xinfo|groups Lists the groups of a stream
xinfo|help Lists the subcommands
xinfo|stream Describes a stream
xlen Answers how many entries a stream has
xpending Answers what a group has been given and not dealt with
xrange Answers entries by their ids
xread Answers new entries of streams, and may wait for them
xreadgroup Answers new entries of streams to a consumer of a group, and may wait for them
xrevrange Answers entries by their ids, newest first
xsetid Sets the newest id of a stream
xtrim Removes the oldest entries of a stream
copy Copies a value to another key
del Removes keys
dump Answers a value in the form that RESTORE reads
exists Counts which of the keys are there
expire Has a key expire after seconds
expireat Has a key expire at a second of Unix time
expiretime Answers the second of Unix time at which a key expires
keys Answers all keys of a pattern
migrate Moves keys to another server
move Moves a key to another database
object About how a value is kept
object|encoding Answers the form in which a value is kept
object|freq Answers how often a key is used
object|help Lists the subcommands
object|idletime Answers the seconds since a key was used
object|refcount Answers how many refer to a value
persist Takes away a key's expiry
pexpire Has a key expire after milliseconds
pexpireat Has a key expire at a millisecond of Unix time
pexpiretime Answers the millisecond of Unix time at which a key expires
pttl Answers the milliseconds until a key expires
randomkey Answers a key by chance
rename Gives a key another name
renamenx Gives a key another name if nobody has it
restore Makes a key from what DUMP answered
scan Walks through the keys, step by step
sort Sorts a list, a set or a sorted set, and may keep the result
sort_ro Sorts a list, a set or a sorted set
touch Counts which of the keys are there, and marks them as used
ttl Answers the seconds until a key expires
type Answers the type of a value
unlink Removes keys, and their memory later
wait Waits until replicas have what this connection wrote
acl Users and what they may do
acl|cat Lists the categories, or the commands of one
acl|deluser Removes users
acl|dryrun Tells whether a user might run a command
acl|genpass Makes a password
acl|getuser Answers the rules of a user
acl|help Lists the subcommands
acl|list Lists the users as lines of a configuration
acl|load Reads the users' file again
acl|log Lists what was refused lately
acl|save Writes the users' file
acl|setuser Adds a user, or changes one
acl|users Lists the names of users
acl|whoami Answers the user of this connection
bgrewriteaof Rewrites the append-only file in the background
bgsave Saves a snapshot in the background
command About commands
command|count Answers how many commands there are
command|docs Answers documentation of commands
command|getkeys Answers the keys of a call
command|getkeysandflags Answers the keys of a call and what is done to them
command|help Lists the subcommands
command|info Answers what is known of commands
command|list Lists the names of commands
config The configuration
config|get Answers values of the configuration
config|help Lists the subcommands
config|resetstat Begins to count anew
config|rewrite Writes the configuration file
config|set Changes the configuration
dbsize Answers how many keys the database has
debug Helps to test the server
failover Hands over to a replica
flushall Removes all keys of all databases
flushdb Removes all keys of the database
info Answers figures about the server
lastsave Answers when the data were last saved
latency What took long
latency|doctor Explains what took long
latency|graph Draws what took long
latency|help Lists the subcommands
latency|histogram Answers how long commands take
latency|history Answers what took long over time
latency|latest Answers what took long lately
latency|reset Forgets what took long
lolwut Shows a picture and the version
memory About memory
memory|doctor Explains what is remarkable about memory
memory|help Lists the subcommands
memory|malloc-stats Answers figures of the allocator
memory|purge Gives free memory back
memory|stats Answers what memory is used for
memory|usage Estimates the memory of a key
module Modules
module|help Lists the subcommands
module|list Lists the modules
module|load Loads a module
module|loadex Loads a module with a configuration
module|unload Unloads a module
monitor Shows every command as it is executed
psync Asks for the stream of replication from an offset on
replconf Tells a master about its replica
replicaof Makes this server a replica, or a master again
restore-asking Makes a key while its slot moves
role Answers the part this server plays in replication
save Saves a snapshot and waits for it
shutdown Ends the server
slaveof Makes this server a replica, under an older name
slowlog Slow commands
slowlog|get Lists slow commands
slowlog|help Lists the subcommands
slowlog|len Answers how many slow commands are remembered
slowlog|reset Forgets the slow commands
swapdb Exchanges two databases
sync Asks for a snapshot and the stream of replication
time Answers the time
asking Says that a cluster redirected the next command
cluster About a cluster
cluster|addslots Takes slots
cluster|addslotsrange Takes ranges of slots
cluster|bumpepoch Takes the next epoch
cluster|count-failure-reports Counts who takes a node for failed
cluster|countkeysinslot Counts the keys of a slot
cluster|delslots Gives slots away
cluster|delslotsrange Gives ranges of slots away
cluster|failover Has a replica take its master's place
cluster|flushslots Gives all slots away
cluster|forget Removes a node from those that are known
cluster|getkeysinslot Lists keys of a slot
cluster|help Lists the subcommands
cluster|info Describes the cluster
cluster|keyslot Answers the slot of a key
cluster|links Lists the links between nodes
cluster|meet Makes two nodes know one another
cluster|myid Answers the id of this node
cluster|nodes Lists the nodes
cluster|replicas Lists the replicas of a master
cluster|replicate Makes a node the replica of another
cluster|reset Forgets the cluster
cluster|saveconfig Writes what is known of the cluster
cluster|set-config-epoch Sets the epoch of a new node
cluster|setslot Says whose a slot is
cluster|shards Lists the shards
cluster|slaves Lists the replicas of a master, under an older name
cluster|slots Lists which nodes have which slots
readonly Lets a connection read from a replica of a cluster
readwrite Takes READONLY back
auth Logs in
client About connections
client|caching Says whether the next reads are tracked
client|getname Answers the name of this connection
client|getredir Answers who hears of changed keys in place of this connection
client|help Lists the subcommands
client|id Answers the id of this connection
client|info Describes this connection
client|kill Closes connections
client|list Describes connections
client|no-evict Keeps this connection from being closed for want of memory
client|pause Holds back commands for some time
client|reply Says whether commands are answered
client|setname Names this connection
client|tracking Says whether this connection hears when keys that it has read change
client|trackinginfo Answers what was said to CLIENT TRACKING
client|unblock Ends the waiting of another connection
client|unpause Ends a pause
echo Answers what it was given
hello Chooses the protocol, and may log in
ping Answers PONG
quit Closes this connection
reset Makes this connection as new
select Chooses a database
discard Forgets the commands since MULTI
exec Executes the commands since MULTI, all of them at once
multi Begins to collect commands that are executed at once
unwatch Forgets what WATCH was told
watch Has EXEC do nothing if one of the keys changes before
eval Runs a script
eval_ro Runs a script that only reads
evalsha Runs a script that is known, by its digest
evalsha_ro Runs a known script that only reads
fcall Calls a function
fcall_ro Calls a function that only reads
function Functions and their libraries
function|delete Removes a library
function|dump Answers all libraries in the form that FUNCTION RESTORE reads
function|flush Removes all libraries
function|help Lists the subcommands
function|kill Ends the function that is running
function|list Lists libraries and their functions
function|load Adds a library
function|restore Adds libraries from what FUNCTION DUMP answered
function|stats Answers what is running
script Scripts
script|debug Chooses how scripts are debugged
script|exists Tells which scripts are known
script|flush Forgets all scripts
script|help Lists the subcommands
script|kill Ends the script that is running
script|load Makes a script known
psubscribe Listens to all channels of patterns
publish Sends a message to a channel
pubsub About channels
pubsub|channels Lists the channels that somebody listens to
pubsub|help Lists the subcommands
pubsub|numpat Counts the patterns that somebody listens to
pubsub|numsub Counts who listens to channels
pubsub|shardchannels Lists the shard channels that somebody listens to
pubsub|shardnumsub Counts who listens to shard channels
punsubscribe Stops listening to patterns
spublish Sends a message to a shard channel
ssubscribe Listens to shard channels
subscribe Listens to channels
sunsubscribe Stops listening to shard channels
unsubscribe Stops listening to channels
`

let summaries: ReadonlyMap<string, string> | undefined

/** By the full name, `xinfo|stream`; empty for what is not ours. */
export function summaryOf(name: string): string {
  summaries ??= new Map(
    text
      .trim()
      .split('\n')
      .map(line => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
  )
  return summaries.get(name) ?? ''
}
