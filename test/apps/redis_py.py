# redis-py as an application uses it: a pool, pipelines, transactions, scripts, locks, pub/sub and streams, each step on
# whichever connection the pool hands out, with eight threads at once.
import sys
import threading
import time

import redis

port = int(sys.argv[1])
pool = redis.ConnectionPool(host='127.0.0.1', port=port, decode_responses=True, max_connections=32)
r = redis.Redis(connection_pool=pool)
assert r.ping()


def plain(worker):
    client = redis.Redis(connection_pool=pool)
    for turn in range(40):
        key = f'{worker}:{turn}'
        client.set(key, turn)
        assert client.get(key) == str(turn)
        client.hset(f'h:{key}', mapping={'a': turn, 'b': 'x'})
        assert client.hgetall(f'h:{key}') == {'a': str(turn), 'b': 'x'}
        with client.pipeline(transaction=True) as pipe:
            assert pipe.incr(f'n:{worker}').get(f'n:{worker}').execute() == [turn + 1, str(turn + 1)]
        with client.pipeline(transaction=False) as pipe:
            assert pipe.set(key, 'new').get(key).delete(key).get(key).execute() == [True, 'new', 1, None]
        assert client.exists(key) == 0


failures = []


def run(worker):
    try:
        plain(worker)
    except BaseException as error:
        failures.append(repr(error))


threads = [threading.Thread(target=run, args=(worker,)) for worker in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures

# Optimistic locking: WATCH, and again when somebody was faster.
def add(client):
    for _ in range(20):
        client.transaction(lambda pipe: add_one(pipe), 'balance')


def add_one(pipe):
    value = int(pipe.get('balance') or 0)
    pipe.multi()
    pipe.set('balance', value + 1)


threads = [threading.Thread(target=add, args=(redis.Redis(connection_pool=pool),)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert r.get('balance') == '80', r.get('balance')

# Locks (SET NX, and a script to let go), around what is read and written by others.
def locked():
    client = redis.Redis(connection_pool=pool)
    for _ in range(10):
        with client.lock('lock', timeout=10, sleep=0.005):
            client.set('counter', int(client.get('counter') or 0) + 1)


threads = [threading.Thread(target=locked) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert r.get('counter') == '40', r.get('counter')

script = r.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
assert [script(keys=['s'], args=[5]) for _ in range(3)] == [5, 10, 15]
assert r.get('s') == '15'

with r.pubsub() as listener:
    listener.subscribe('news')
    assert listener.get_message(timeout=5)['type'] == 'subscribe'
    for n in range(20):
        r.publish('news', n)
    heard = []
    until = time.time() + 10
    while len(heard) < 20 and time.time() < until:
        message = listener.get_message(timeout=1)
        if message is not None:
            heard.append(message['data'])
    assert heard == [str(n) for n in range(20)], heard

r.xgroup_create('stream', 'readers', id='$', mkstream=True)
for n in range(20):
    r.xadd('stream', {'n': n})
assert r.xlen('stream') == 20
entries = r.xreadgroup('readers', 'one', {'stream': '>'}, count=50, block=1000)[0][1]
assert [fields['n'] for _, fields in entries] == [str(n) for n in range(20)]
assert r.xack('stream', 'readers', *[entry for entry, _ in entries]) == 20
assert r.xpending('stream', 'readers')['pending'] == 0

threading.Timer(0.1, lambda: redis.Redis(connection_pool=pool).rpush('jobs', 'late')).start()
assert r.blpop('jobs', timeout=10) == ('jobs', 'late')
assert set(r.scan_iter('h:*')) == {f'h:{worker}:{turn}' for worker in range(8) for turn in range(40)}
assert r.client_id() > 0 and r.client_setname('python') and r.client_getname() == 'python'
assert 'proxy_master' in r.info('everything') or r.info()['redis_version']
print('done')
