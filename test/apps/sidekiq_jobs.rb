# sidekiq: jobs as JSON in lists, taken with BRPOP, retries in a sorted set. Here a client pushes, and a launcher of sidekiq's own
# runs five threads until everything is done.
require 'sidekiq'
require 'sidekiq/cli'
require 'sidekiq/launcher'
require 'sidekiq/api'

url = "redis://127.0.0.1:#{ARGV[0]}/0"
Sidekiq.logger.level = Logger::FATAL
Sidekiq.configure_client { |config| config.redis = { url: url } }
Sidekiq.redis = { url: url, size: 15 }

class Double
  include Sidekiq::Worker
  sidekiq_options retry: 3
  sidekiq_retry_in { 0 }

  def perform(n)
    Sidekiq.redis do |redis|
      tries = redis.incr("tries:#{n}")
      raise 'not yet' if n % 10 == 0 && tries < 2
      redis.set("done:#{n}", n * 2)
      redis.incr("times:#{n}")
    end
  end
end

100.times { |n| Double.perform_async(n) }
raise 'not queued' unless Sidekiq::Queue.new.size == 100
options = { concurrency: 5, queues: ['default'], timeout: 8, labels: [], tag: '', environment: 'test' }
Sidekiq.options.merge!(options) if Sidekiq.respond_to?(:options)
launcher = Sidekiq::Launcher.new(Sidekiq.options.merge(options))
launcher.run
deadline = Time.now + 30
numbers = (0...100).to_a
loop do
  values = Sidekiq.redis { |redis| redis.mget(*numbers.map { |n| "done:#{n}" }) }
  break if values == numbers.map { |n| (n * 2).to_s }
  raise 'not done in time' if Time.now > deadline
  # What its poller does every few seconds.
  Sidekiq::Scheduled::Enq.new.enqueue_jobs
  sleep 0.05
end
launcher.stop
times = Sidekiq.redis { |redis| redis.mget(*numbers.map { |n| "times:#{n}" }) }
raise "done more than once: #{times}" unless times.all? { |count| count == '1' }
raise 'left in the queue' unless Sidekiq::Queue.new.size.zero?
puts 'done'
exit!(0)
