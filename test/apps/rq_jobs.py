# rq: jobs are pickled into hashes, their ids go through lists, workers take them with blocking pops. A burst worker runs them
# all, each once; what depends on another runs after it.
import os
import sys

import redis
from rq import Queue, SimpleWorker
from rq.job import Job

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def double(n):
    return n * 2


def main():
    connection = redis.Redis(host='127.0.0.1', port=int(sys.argv[1]))
    import rq_jobs

    queue = Queue('work', connection=connection)
    jobs = [queue.enqueue(rq_jobs.double, n, result_ttl=500) for n in range(25)]
    last = queue.enqueue(rq_jobs.double, 100, depends_on=jobs[-1])
    worker = SimpleWorker([queue], connection=redis.Redis(host='127.0.0.1', port=int(sys.argv[1])))
    worker.work(burst=True)
    for n, job in enumerate(jobs):
        found = Job.fetch(job.id, connection=connection)
        assert found.get_status() == 'finished', (n, found.get_status())
        assert found.result == n * 2
    assert Job.fetch(last.id, connection=connection).result == 200
    assert len(queue) == 0 and queue.failed_job_registry.count == 0 and queue.finished_job_registry.count == 26
    print('done')


if __name__ == '__main__':
    main()
