# celery: Redis as broker (lists, unacknowledged messages, pub/sub) and as store of results. A worker of two threads in this
# process; a chord is a task that runs when all of a group are done.
import os
import sys
import tempfile

from celery import Celery, chord, group
from celery.contrib.testing.worker import start_worker

url = f'redis://127.0.0.1:{sys.argv[1]}/0'
app = Celery('work', broker=url, backend=url)
app.conf.update(task_serializer='json', result_expires=60, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)


@app.task
def double(n):
    return n * 2


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3, default_retry_delay=0)
def stubborn(self, n):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return n


os.chdir(tempfile.mkdtemp())
with start_worker(app, perform_ping_check=False, pool='threads', concurrency=2, loglevel='ERROR'):
    assert [double.delay(n).get(timeout=20) for n in range(20)] == [n * 2 for n in range(20)]
    assert group(double.s(n) for n in range(20)).apply_async().get(timeout=20) == [n * 2 for n in range(20)]
    assert chord((double.s(n) for n in range(10)), total.s()).apply_async().get(timeout=20) == 90
    assert stubborn.delay(7).get(timeout=20) == 7
print('done', flush=True)
os._exit(0)
