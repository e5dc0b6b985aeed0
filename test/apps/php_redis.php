<?php
// phpredis and Predis as a web application uses them: two connections, as of two requests, and what one has written the other
// one must read; transactions, pipelines, scripts, sessions, locks.
$port = (int) $argv[1];

function check($condition, $what)
{
    if (!$condition) {
        fwrite(STDERR, "not so: $what\n");
        exit(1);
    }
}

if ($argv[2] === 'phpredis') {
    $connect = function () use ($port) {
        $redis = new Redis();
        $redis->pconnect('127.0.0.1', $port, 2.0, uniqid());
        return $redis;
    };
} else {
    require 'Predis/Autoloader.php';
    Predis\Autoloader::register();
    $connect = function () use ($port) {
        return new Predis\Client(['host' => '127.0.0.1', 'port' => $port]);
    };
}
$one = $connect();
$other = $connect();
$isPredis = $argv[2] !== 'phpredis';

check((string) $one->ping('x') === 'x' || $isPredis, 'PING answers');
for ($turn = 0; $turn < 60; $turn++) {
    [$a, $b] = $turn % 2 === 0 ? [$one, $other] : [$other, $one];
    $a->set("key:$turn", "value $turn");
    check($b->get("key:$turn") === "value $turn", 'what was set is read');
    $a->hset("hash:$turn", 'field', (string) $turn);
    check($b->hgetall("hash:$turn") == ['field' => (string) $turn], 'what was put into a hash is read');
    $a->rpush('list', "$turn");
    check((int) $b->llen('list') === $turn + 1, 'the list has grown');
    $a->del("key:$turn");
    check(!$b->get("key:$turn"), 'what was deleted is gone');
}
if ($isPredis) {
    $answers = $one->transaction()->incr('n')->incr('n')->get('n')->execute();
    $piped = $one->pipeline(function ($pipe) {
        for ($index = 0; $index < 100; $index++) {
            $pipe->set("p:$index", $index);
            $pipe->get("p:$index");
        }
    });
    $summed = $one->eval("return redis.call('incrby', KEYS[1], ARGV[1])", 1, 'sum', 7);
} else {
    $answers = $one->multi()->incr('n')->incr('n')->get('n')->exec();
    $pipe = $one->multi(Redis::PIPELINE);
    for ($index = 0; $index < 100; $index++) {
        $pipe->set("p:$index", $index)->get("p:$index");
    }
    $piped = $pipe->exec();
    $summed = $one->eval("return redis.call('incrby', KEYS[1], ARGV[1])", ['sum', 7], 1);
}
check($answers == [1, 2, '2'], 'a transaction answers in order');
check(count($piped) === 200 && (string) $piped[199] === '99', 'a pipeline reads what it has written');
check($summed === 7 && (int) $other->get('sum') === 7, 'what a script has written is read');

// Optimistic locking.
$one->watch('balance');
$one->get('balance');
$other->set('balance', '1');
if ($isPredis) {
    $one->multi();
    $one->set('balance', '2');
    $lost = $one->exec();
} else {
    $lost = $one->multi()->set('balance', '2')->exec();
}
check(!$lost && $other->get('balance') === '1', 'who was overtaken changes nothing');

if (!$isPredis) {
    // PHP's own sessions in Redis: a request reads what the request before has left.
    ini_set('session.save_handler', 'redis');
    ini_set('session.save_path', "tcp://127.0.0.1:$port");
    ini_set('session.use_cookies', '0');
    ini_set('session.cache_limiter', '');
    for ($visit = 0; $visit < 20; $visit++) {
        session_id('visitor');
        session_start();
        check(($_SESSION['visits'] ?? 0) === $visit, 'a session counts its visits');
        $_SESSION['visits'] = $visit + 1;
        session_write_close();
    }
}
echo "done\n";
