# redis-py as its documentation says, one writer: see sentinel-clients.ts, whose lines these are.
import json
import sys
import time

from redis.sentinel import Sentinel

name, sentinels = sys.argv[1], [address.rsplit(":", 1) for address in sys.argv[2].split(",")]
master = Sentinel([(host, int(port)) for host, port in sentinels], socket_timeout=0.5).master_for(name, socket_timeout=0.5)
last, value = time.time(), 0
while True:
    value += 1
    try:
        master.set("c:redis-py", value)
    except Exception:
        time.sleep(0.002)
        continue
    now = time.time()
    if now - last > 0.05:
        print(json.dumps({"client": "redis-py", "from": last * 1000, "gapMs": (now - last) * 1000}), flush=True)
    last = now
    time.sleep(0.01)
